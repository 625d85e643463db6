import { Stream } from "./stream.js";
import { WORDS, meaning, percent } from "./words.js";

const by = (id) => document.getElementById(id);
const say = (id, text) => (by(id).textContent = text);
let heard = [];
let stopping = () => {};

async function listen(open) {
  heard = [];
  say("heard", "0.0 s");
  say("decision", "");
  let media;
  try {
    media = await open();
  } catch (error) {
    return fail(`Nothing is heard: ${error.message}`);
  }
  if (!media.getAudioTracks().length) {
    media.getTracks().forEach((track) => track.stop());
    return fail("Nothing is heard: the tab was shared without its sound.");
  }
  const context = new AudioContext({ sampleRate: 16000 });
  await context.audioWorklet.addModule("live/sound.js");
  const pieces = new AudioWorkletNode(context, "pieces");
  context.createMediaStreamSource(media).connect(pieces);
  draw();
  show({ verdict: "inconclusive" }, "Listening …", "");
  const url = new URL("v1/stream", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const close = () => {
    media.getTracks().forEach((track) => track.stop());
    context.close();
    listening(false);
  };
  const stream = new Stream(url, by("key").value, tell, (message) => {
    close();
    fail(message);
  });
  pieces.port.onmessage = ({ data }) => stream.send(data);
  stopping = () => {
    close();
    stream.end();
  };
  media.getAudioTracks()[0].onended = () => stopping();
  listening(true);
}

function listening(on) {
  by("microphone").disabled = by("tab").disabled = on;
  by("stop").disabled = !on;
}

function tell(event) {
  const seconds = event.end ? event.duration_s : event.at_s;
  if (!event.end) heard.push(event);
  draw();
  const all = event.end ? `In all: ${WORDS[event.verdict].toLowerCase()}` : WORDS[event.verdict];
  show(event, all, meaning(event));
  say("heard", `${seconds.toFixed(1)} s`);
  say("chance", percent(event.p_spoof));
  say("channel", event.channel ? event.channel.label : "–");
  say("bundle", `${event.bundle.name} ${event.bundle.version}`);
  if (event.decision && !by("decision").textContent) say("decision", decided(event.decision));
}

// Unlike a verdict, a decision is made once, and its errors are bounded however often one looks.
function decided({ verdict, at_s, wrong_at_most }) {
  const bound = `at most ${Math.round(100 * wrong_at_most)} of 100 voices of either kind are decided wrongly`;
  return `Decided after ${at_s} s: ${WORDS[verdict].toLowerCase()}; ${bound}.`;
}

function show({ verdict }, text, more) {
  if (by("verdict").textContent !== text) say("verdict", text);
  by("verdict").dataset.verdict = verdict;
  if (by("meaning").textContent !== more) say("meaning", more);
}

function fail(message) {
  listening(false);
  show({ verdict: "inconclusive" }, "Not listening.", message);
}

// Both chances over time; the newest two minutes.
function draw() {
  const canvas = by("timeline");
  const pen = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const shown = heard.slice(-240);
  const x = (i) => 50 + ((canvas.width - 60) * i) / Math.max(40, shown.length - 1);
  const y = (p) => 15 + (canvas.height - 45) * (1 - p);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.font = "20px system-ui";
  pen.fillStyle = style.getPropertyValue("--faint");
  pen.strokeStyle = style.getPropertyValue("--line");
  pen.lineWidth = 1;
  for (const p of [0, 0.5, 1]) {
    pen.fillText(p, 8, y(p) + 7);
    pen.beginPath();
    pen.moveTo(50, y(p));
    pen.lineTo(canvas.width - 10, y(p));
    pen.stroke();
  }
  const step = shown.length > 80 ? 20 : 5;
  shown.forEach(({ at_s }, i) => {
    if (at_s % step === 0) pen.fillText(`${at_s} s`, x(i) - 15, canvas.height - 6);
  });
  line(pen, shown, x, y, "--now", 3, ({ window }) => window && window.p_spoof);
  line(pen, shown, x, y, "--accent", 4, ({ p_spoof }) => p_spoof);

  function line(pen, shown, x, y, colour, width, value) {
    pen.strokeStyle = style.getPropertyValue(colour);
    pen.lineWidth = width;
    pen.beginPath();
    let down = false;
    shown.forEach((event, i) => {
      const p = value(event);
      if (p === null) down = false;
      else if (down) pen.lineTo(x(i), y(p));
      else pen.moveTo(x(i), y(p));
      down = p !== null;
    });
    pen.stroke();
  }
}

// What cleans a voice up on its way takes away what betrays it.
const PLAIN = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
by("microphone").onclick = () =>
  listen(() => navigator.mediaDevices.getUserMedia({ audio: PLAIN }));
by("tab").onclick = () =>
  listen(() => navigator.mediaDevices.getDisplayMedia({ audio: PLAIN, video: true }));
by("access").onsubmit = (event) => event.preventDefault();
by("stop").onclick = () => stopping();
addEventListener("pagehide", () => stopping());
draw();
