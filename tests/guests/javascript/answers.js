// Returns the outcomes in its settings, one after the other. After the last one it accepts every batch.
//
// Settings: `{"answers": [{"outcome": "unavailable", "retry_after_ms": 5, "reason": "busy"}, {"outcome": "taken"}, …]}`,
// as for the Rust guest `answers`, and `{"outcome": "raise", "reason": "…"}`, which throws an Error and reports it to the
// operator. Each outcome is logged as `{outcome} for {pushes} pushes, {points} points, the first of {metric}`.
//
// With `{"url": "http://…", "read": true}` it posts each batch to this URL instead; without `read` it does not read the
// body of the response. A status of 400 or more, or a failed request, is `unavailable`.

import { write } from 'kafka-telemetry:receiver/log@0.1.0';
import { decode } from 'kafka-telemetry:receiver/metrics-view@0.1.0';
import { fault } from 'kafka-telemetry:receiver/report@0.1.0';

const KEYS = ['answers', 'url', 'read'];
let settings = { answers: [] };

export const lifecycle = {
  start(text) {
    const configured = JSON.parse(text);
    const unknown = Object.keys(configured).find((key) => !KEYS.includes(key));
    if (unknown !== undefined) {
      throw `unknown setting \`${unknown}\`; the known settings are ${KEYS.join(', ')}`;
    }
    settings = { answers: [], ...configured };
  },
  stop() {
    write('info', 'stopped');
  },
};

export const exportMetrics = {
  acceptedContentTypes() {
    return ['OTLP'];
  },
  async exportMetrics(batch) {
    if (settings.url) {
      return post(batch);
    }
    const answer = settings.answers.shift() ?? { outcome: 'taken' };
    write('info', `${answer.outcome} for ${described(batch)}`);
    if (answer.outcome === 'raise') {
      try {
        fail(answer.reason);
      } catch (exception) {
        fault(`${exception}`);
        console.error(`${exception}\n${exception.stack}`);
        throw exception;
      }
    }
    if (answer.outcome !== 'taken') {
      throw error(answer);
    }
  },
};

async function post(batch) {
  let response;
  try {
    response = await fetch(settings.url, { method: 'POST', body: batch.otlpRequest([]) });
    if (settings.read) {
      await response.arrayBuffer();
    }
  } catch (exception) {
    throw error({ outcome: 'unavailable', reason: `${settings.url}: ${exception.message}` });
  }
  if (response.status >= 400) {
    throw error({ outcome: 'unavailable', reason: `${settings.url} answered ${response.status}` });
  }
}

function described(batch) {
  const pushes = Array.from({ length: batch.len() }, (_, push) => decode(batch, push));
  const metrics = pushes.flat().flatMap((resource) => resource.scopes).flatMap((scope) => scope.metrics);
  const points = metrics.reduce((sum, metric) => sum + pointsOf(metric.data), 0);
  return `${pushes.length} pushes, ${points} points, the first of ${metrics[0]?.name ?? 'nothing'}`;
}

function pointsOf({ tag, val }) {
  switch (tag) {
    case 'empty':
      return 0;
    case 'gauge':
    case 'summary':
      return val.length;
    default:
      return val.points.length;
  }
}

function fail(reason) {
  throw new Error(reason);
}

// The binding represents an `export-error` as an object with the name of the case and its value.
function error(answer) {
  const retryAfterMs = answer.retry_after_ms === undefined ? undefined : BigInt(answer.retry_after_ms);
  switch (answer.outcome) {
    case 'unavailable':
      return { tag: 'unavailable', val: { retryAfterMs, reason: answer.reason } };
    case 'partial': {
      const rejected = (answer.rejected ?? []).map((index) => ({ index, reason: answer.reason }));
      return { tag: 'partial', val: { rejected, retry: answer.retry ?? [], retryAfterMs } };
    }
    case 'rejected':
      return { tag: 'rejected', val: answer.reason };
    case 'too-large':
      return { tag: 'too-large' };
    default:
      return { tag: 'other', val: answer.reason };
  }
}
