import { Cutter, judge } from "./judging.js";
import { rateOf, symmetric } from "./sampling.js";
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
worker.onerror = ({ message }) => fail(`The detector does not run here: ${message}`);

function ask(message) {
  const id = ++asked;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    worker.postMessage({ id, ...message });
  });
}

// --- a recording ---------------------------------------------------------------------------------

let current = null;

/** What is heard of one recording: its windows are scored in order, and judged after each. */
class Recording {
  constructor(rules) {
    Object.assign(this, { rules, cutter: new Cutter(rules), scored: [], silent: 0, ms: [] });
    this.done = Promise.resolve();
    current = this;
    delete document.body.dataset.answer;
    tell(this, "Listening …");
  }

  feed(samples) {
    this.done = this.score(this.cutter.feed(samples));
    return this.done;
  }

  async score(windows) {
    await this.done;
    for (const { start, window } of windows) {
      if (current !== this) return; // another one was begun
      const { speaks, ms, ...scores } = await ask({ window });
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
    if (current !== this) return;
    if (!this.cutter.heard) return fail("It holds no sound.");
    const judged = tell(this, `In all: ${WORDS[this.judged().verdict].toLowerCase()}`);
    document.body.dataset.answer = JSON.stringify({ ...judged, ms: this.ms }); // for who drives it
  }
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
  current = null;
  delete document.body.dataset.answer;
  show("inconclusive", "Not judged.", message);
}

// --- where it comes from -------------------------------------------------------------------------

async function decoded(file, rules) {
  const content = await file.arrayBuffer();
  const rate = rateOf(content);
  const buffer = await new OfflineAudioContext(1, 1, rate).decodeAudioData(content);
  const mixed = new Float32Array(buffer.length);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const samples = symmetric(buffer.getChannelData(channel));
    for (let i = 0; i < mixed.length; i++) mixed[i] += samples[i] / buffer.numberOfChannels;
  }
  if (rate === rules.sample_rate_hz) return mixed;
  return (await ask({ sound: mixed, rate })).sound;
}

async function judgeFile(file, rules) {
  current = null;
  delete document.body.dataset.answer;
  show("inconclusive", `${file.name} is decoded …`, "");
  let sound;
  try {
    sound = await decoded(file, rules);
  } catch {
    return fail(`This browser cannot decode ${file.name}, or finds no sound in it.`);
  }
  const recording = new Recording(rules);
  recording.feed(sound);
  await recording.end();
}

async function listen(rules) {
  if (!navigator.mediaDevices) return fail("Browsers give a microphone to pages by https alone.");
  let media;
  try {
    media = await navigator.mediaDevices.getUserMedia({ audio: PLAIN });
  } catch (error) {
    return fail(`Nothing is heard: ${error.message}`);
  }
  const context = new AudioContext({ sampleRate: rules.sample_rate_hz });
  await context.audioWorklet.addModule("sound.js");
  const pieces = new AudioWorkletNode(context, "pieces");
  const recording = new Recording(rules);
  pieces.port.onmessage = ({ data }) => {
    recording.feed(Float32Array.from(data, (sample) => sample / 32768));
    say("heard", `${(recording.cutter.heard / rules.sample_rate_hz).toFixed(1)} s`);
  };
  context.createMediaStreamSource(media).connect(pieces);
  listening(true);
  const stop = async () => {
    media.getTracks().forEach((track) => track.stop());
    pieces.port.onmessage = null;
    context.close();
    listening(false);
    await recording.end();
  };
  by("stop").onclick = stop;
  media.getAudioTracks()[0].onended = stop;
}

function listening(on) {
  by("microphone").disabled = by("file").disabled = on;
  by("stop").disabled = !on;
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
  const rules = await (await fetch("rules.json")).json();
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
  by("microphone").onclick = () => listen(rules).catch(failed);
  by("file").disabled = by("microphone").disabled = false;
  let offline = "";
  if ("serviceWorker" in navigator) {
    await navigator.serviceWorker.register("sw.js");
    await navigator.serviceWorker.ready;
    offline = " It works without a network from now on.";
  }
  say("state", `The detector is here.${offline}`);
}

draw();
addEventListener("resize", () => draw());
begin().catch((error) => {
  say("state", "");
  fail(`The detector could not be loaded: ${error.message}`);
});
