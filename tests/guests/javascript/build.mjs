// Builds the component: `node build.mjs <directory of the contract> <source> <output file>`.
import { writeFile } from 'node:fs/promises';
import { componentize } from '@bytecodealliance/componentize-js';

const [witPath, sourcePath, out] = process.argv.slice(2);
const { component } = await componentize({ sourcePath, witPath, worldName: 'receiver' });
await writeFile(out, component);
