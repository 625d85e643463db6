// Beside the page: converts recordings, and runs the detector, one window after another.
import { InferenceSession, Tensor, env } from "./runtime/ort.wasm.bundle.min.mjs";
import { hasSpeech } from "./judging.js";
import { resampled } from "./sampling.js";

env.wasm.numThreads = 1; // more would need the page to be isolated, and a window takes milliseconds
env.wasm.wasmPaths = { wasm: new URL("runtime/ort.wasm", import.meta.url).href };
let session, rules;

onmessage = async ({ data }) => {
  try {
    if (data.rules) postMessage(await load(data));
    else if (data.sound) convert(data);
    else postMessage({ id: data.id, ...(await score(data.window)) });
  } catch (error) {
    postMessage({ id: data.id, error: String(error.message ?? error) });
  }
};

async function load({ id, rules: found, model }) {
  rules = found;
  const answer = await fetch(model);
  if (!answer.ok) throw new Error(`${answer.url} answers ${answer.status}`);
  session = await InferenceSession.create(new Uint8Array(await answer.arrayBuffer()));
  await score(new Float32Array(rules.window_samples), true); // the first one takes longer
  return { id };
}

// The graph does so first, but in single precision, in which a large offset leaves a rest.
function centre(window) {
  let sum = 0;
  for (const sample of window) sum += sample;
  const mean = sum / window.length;
  for (let i = 0; i < window.length; i++) window[i] -= mean;
}

function convert({ id, sound, rate }) {
  const made = resampled(sound, rate, rules.sample_rate_hz);
  postMessage({ id, sound: made }, [made.buffer]);
}

async function score(window, anyway = false) {
  const start = performance.now();
  centre(window);
  if (!anyway && !hasSpeech(window, rules)) return { speaks: false };
  const waveform = new Tensor("float32", window, [1, window.length]);
  const { llr, channel, distance } = await session.run({ waveform });
  return {
    speaks: true,
    llr: llr.data[0],
    channel: channel ? [...channel.data] : [],
    distance: distance ? distance.data[0] : 0,
    ms: performance.now() - start,
  };
}
