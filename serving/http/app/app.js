import { Cutter, judge } from "./judging.js";
import { formatOf, mix, symmetric } from "./sampling.js";
import { WORDS, meaning, percent } from "./words.js";

const WARNINGS = {
  silent_windows: "stretches without speech-like sound were left out",
  no_speech: "nothing in it sounds like speech, so nothing was scored",
  too_short: "there is too little sound for a verdict",
  unknown_channel: "it went through a channel unlike all that the detector knows, so no verdict is given",
};
// What cleans a voice up on its way takes away what betrays it.
const PLAIN = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
const by = (id) => document.getElementById(id);
const say = (id, text) => by(id).textContent === text || (by(id).textContent = text);

// --- the detector, beside the page ---------------------------------------------------------------

const worker = new Worker("worker.js", { type: "module" });
const waiting = new Map();
let asked = 0;
worker.onmessage = ({ data: { id, error, ...answer } }) => {
  const { resolve, reject } = waiting.get(id);
  waiting.delete(id);
  error ? reject(new Error(error)) : resolve(answer);
};
worker.onerror = ({ message }) => fail(`The detector does not run here: ${message ?? "it cannot be loaded"}`);

function ask(message) {
  const id = ++asked;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    worker.postMessage({ id, ...message });
  });
}

// --- a recording ---------------------------------------------------------------------------------

let turn = 0; // of what was chosen last: whatever is older says no more

/** What is heard of one recording: its windows are scored in order, and judged after each. */
class Recording {
  constructor(rules, turn) {
    Object.assign(this, { rules, turn, cutter: new Cutter(rules), scored: [], silent: 0, ms: [] });
    this.done = Promise.resolve();
    tell(this, "Listening …");
  }

  get over() {
    return this.turn !== turn;
  }

  feed(samples) {
    this.done = this.score(this.cutter.feed(samples));
    return this.done;
  }

  async score(windows) {
    await this.done;
    for (const { start, window } of windows) {
      if (this.over) return;
      const { speaks, ms, ...scores } = await ask({ window });
      if (this.over) return;
      if (speaks) this.scored.push({ start, ...scores });
      else this.silent++;
      if (speaks) this.ms.push(ms);
      tell(this, WORDS[this.judged().verdict]);
    }
  }

  judged() {
    return judge(this.rules, this.scored, this.silent, this.cutter.heard);
  }

  async end() {
    this.done = this.score(this.cutter.rest());
    await this.done;
    if (this.over) return;
    if (!this.cutter.heard) return fail("It holds no sound.");
    const judged = tell(this, `In all: ${WORDS[this.judged().verdict].toLowerCase()}`);
    document.body.dataset.answer = JSON.stringify({ ...judged, ms: this.ms }); // for who drives it
  }
}

function begins() {
  delete document.body.dataset.answer;
  return ++turn;
}

function tell(recording, text) {
  const judged = recording.judged();
  const { channel, verdict, p_spoof, duration_s, segments, parts } = judged;
  const warnings = judged.warnings.map((code) => ({ message: WARNINGS[code] }));
  const any = segments.length > 0;
  show(any ? verdict : "inconclusive", text, any || text.startsWith("In all")
    ? meaning({ verdict, channel, warnings, parts }) : "");
  say("heard", `${duration_s.toFixed(1)} s`);
  say("chance", any ? percent(p_spoof) : "–");
  say("channel", channel ? channel.label : "–");
  const sorted = [...recording.ms].sort((a, b) => a - b);
  say("pace", any ? `${sorted[sorted.length >> 1].toFixed(0)} ms` : "–");
  draw(judged);
  return judged;
}

function show(verdict, text, more) {
  say("verdict", text);
  by("verdict").dataset.verdict = verdict;
  say("meaning", more);
}

function fail(message) {
  begins();
  show("inconclusive", "Not judged.", message);
}

// --- where it comes from -------------------------------------------------------------------------

async function decoded(content, rules) {
  const { rate, bits } = formatOf(content);
  if (rate < rules.min_rate_hz) throw new Error(`its rate of ${rate} Hz is below ${rules.min_rate_hz} Hz`);
  const buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData(content);
  const all = Array.from({ length: buffer.numberOfChannels }, (_, i) => buffer.getChannelData(i));
  const mixed = mix(all.map((samples) => symmetric(samples, bits)), rules.mixing);
  if (rate === rules.sample_rate_hz) return mixed;
  return (await ask({ sound: mixed, rate })).sound;
}

async function judgeFile(file, rules) {
  const own = begins();
  show("inconclusive", `${file.name} is decoded …`, "");
  let sound;
  try {
    sound = await decoded(await file.arrayBuffer(), rules);
  } catch ({ message }) {
    if (own === turn) fail(`This browser cannot decode ${file.name}, or finds no sound in it: ${message}`);
    return;
  }
  if (own !== turn) return;
  const recording = new Recording(rules, own);
  recording.feed(sound);
  await recording.end();
}

async function listen(rules) {
  if (!navigator.mediaDevices) return fail("Browsers give a microphone to pages by https alone.");
  const own = begins();
  listening(true);
  let media, context;
  const close = () => {
    media?.getTracks().forEach((track) => track.stop());
    if (context && context.state !== "closed") context.close();
    listening(false);
  };
  try {
    media = await navigator.mediaDevices.getUserMedia({ audio: PLAIN });
    context = new AudioContext({ sampleRate: rules.sample_rate_hz });
    await context.audioWorklet.addModule("sound.js");
    const pieces = new AudioWorkletNode(context, "pieces");
    const recording = new Recording(rules, own);
    pieces.port.onmessage = ({ data }) => {
      const fed = recording.feed(Float32Array.from(data, (sample) => sample / 32768));
      fed.catch(({ message }) => recording.over || fail(`The detector stopped: ${message}`));
      if (recording.over) return close(); // it failed
      say("heard", `${(recording.cutter.heard / rules.sample_rate_hz).toFixed(1)} s`);
    };
    context.createMediaStreamSource(media).connect(pieces);
    const stopped = new Promise((resolve) => {
      by("stop").onclick = media.getAudioTracks()[0].onended = resolve;
    });
    by("stop").disabled = false;
    await stopped;
    pieces.port.onmessage = null;
    close();
    await recording.end();
  } catch ({ message }) {
    close();
    fail(`Nothing is heard: ${message}`);
  }
}

function listening(on) {
  by("microphone").disabled = by("file").disabled = on;
  by("stop").disabled = true;
}

// --- the picture ---------------------------------------------------------------------------------

let drawn = { segments: [], parts: [], duration_s: 0 };

function draw({ segments, parts, duration_s } = drawn) {
  drawn = { segments, parts, duration_s };
  const canvas = by("timeline");
  const pen = canvas.getContext("2d");
  const { clientWidth: width, clientHeight: height } = canvas;
  [canvas.width, canvas.height] = [width, height].map((size) => size * devicePixelRatio);
  pen.scale(devicePixelRatio, devicePixelRatio);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
  const whole = Math.max(duration_s, 8);
  const x = (seconds) => 32 + ((width - 40) * seconds) / whole;
  const y = (p) => 10 + (height - 36) * (1 - p);
  pen.font = "13px system-ui";
  for (const { start_s, end_s, p_spoof } of segments) {
    const inPart = parts.some((part) => part.start_s <= start_s && end_s <= part.end_s);
    pen.fillStyle = colour(inPart ? "--spoof" : "--accent");
    pen.fillRect(x(start_s), y(p_spoof), Math.max(1, x(end_s) - x(start_s) - 1), y(0) - y(p_spoof));
  }
  pen.fillStyle = colour("--faint");
  pen.strokeStyle = colour("--line");
  for (const p of [0, 0.5, 1]) {
    pen.fillText(p, 6, y(p) + 4);
    pen.beginPath();
    pen.moveTo(32, y(p));
    pen.lineTo(width - 8, y(p));
    pen.stroke();
  }
  const most = width / 70;
  const step = [4, 20, 60, 300, 600, 1800].find((each) => whole / each <= most) ?? 3600;
  for (let at = step; at < whole; at += step) pen.fillText(`${at} s`, x(at) - 10, height - 6);
}

// --- beginning -----------------------------------------------------------------------------------

async function begin() {
  const answer = await fetch("rules.json");
  if (!answer.ok) throw new Error(`${answer.url} answers ${answer.status}`);
  const rules = await answer.json();
  say("bundle", `${rules.name} ${rules.version}`);
  await ask({ rules, model: new URL("detector.onnx", location.href).href });
  const failed = (error) => fail(`The detector stopped: ${error.message}`);
  const take = ([file]) => file && judgeFile(file, rules).catch(failed);
  by("file").onchange = ({ target }) => take(target.files);
  const main = document.querySelector("main");
  main.ondragover = main.ondragleave = (event) => {
    event.preventDefault();
    main.classList.toggle("over", event.type === "dragover");
  };
  main.ondrop = (event) => {
    event.preventDefault();
    main.classList.remove("over");
    if (!by("file").disabled) take(event.dataTransfer.files);
  };
  by("file").onclick = ({ target }) => (target.value = ""); // the same one may be chosen again
  by("microphone").onclick = () => listen(rules);
  by("file").disabled = by("microphone").disabled = false;
  say("state", "The detector is here.");
  await keep();
}

/** Have the service worker keep the page; it is as good without, while there is a network. */
async function keep() {
  if (!("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register("sw.js");
    await navigator.serviceWorker.ready;
    say("state", "The detector is here. It works without a network from now on.");
  } catch ({ message }) {
    say("state", `The detector is here. It is not kept for when there is no network: ${message}`);
  }
}

draw();
addEventListener("resize", () => draw());
begin().catch((error) => {
  say("state", "");
  fail(`The detector could not be loaded: ${error.message}`);
});
