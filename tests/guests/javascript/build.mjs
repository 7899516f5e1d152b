// Builds the component: `node build.mjs <folder of the contract> <source> <file to write>`.
import { writeFile } from 'node:fs/promises';
import { componentize } from '@bytecodealliance/componentize-js';

const [witPath, sourcePath, out] = process.argv.slice(2);
const { component } = await componentize({ sourcePath, witPath, worldName: 'receiver' });
await writeFile(out, component);
