// A stream to the service that goes on when its connection breaks: see docs/stream.md.
const RATE = 16000;
const DIFFERENTLY = 1008; // to be done differently: trying again does not help
const TRIES = 8;

export class Stream {
  // `tell` gets each event, the last one too; `fail` gets a message, and nothing follows it.
  constructor(url, key, tell, fail) {
    Object.assign(this, { url, key, tell, fail });
    this.pieces = []; // sent, and not judged yet
    this.first = 0; // sample that they begin with
    this.name = "";
    this.heard = 0; // seconds
    this.tries = 0;
    this.ended = this.done = false;
    this.connect();
  }

  send(piece) {
    this.pieces.push(piece);
    if (this.isOpen) this.socket.send(piece);
  }

  end() {
    this.ended = true;
    if (this.isOpen) this.socket.send('{"end": true}');
  }

  // Not while it is being resumed, nor once it has broken and does not say so yet.
  get isOpen() {
    return this.ready && this.socket.readyState === WebSocket.OPEN;
  }

  connect() {
    this.ready = false;
    this.socket = new WebSocket(this.url, this.key ? ["bonafide", `key.${this.key}`] : []);
    this.socket.onopen = () => {
      const start = { resume: this.name, after_s: this.heard };
      if (this.name) this.socket.send(JSON.stringify(start));
      else this.goOn(0);
    };
    this.socket.onmessage = ({ data }) => this.take(JSON.parse(data));
    this.socket.onclose = ({ code }) => this.closed(code);
  }

  take(event) {
    // A connection may have broken and the service not know it yet: then it is tried again.
    if (event.error && event.error.code === "unknown_stream" && this.tries < TRIES) return;
    if (event.error) return this.give(event.error.message);
    if (event.resumed) return this.goOn(event.received);
    this.name = event.stream;
    this.tries = 0;
    if (event.end) this.done = true;
    else this.forget((this.heard = event.at_s) * RATE);
    this.tell(event);
  }

  // Sends again what the service has not heard, from a sample on.
  goOn(received) {
    this.forget(received);
    this.ready = true;
    const [piece, ...rest] = this.pieces;
    if (piece) this.socket.send(piece.subarray(Math.max(0, received - this.first)));
    for (const each of rest) this.socket.send(each);
    if (this.ended) this.end();
  }

  forget(sample) {
    while (this.pieces.length && this.first + this.pieces[0].length <= sample) {
      this.first += this.pieces.shift().length;
    }
  }

  closed(code) {
    if (this.done) return;
    if (code === DIFFERENTLY || this.tries >= TRIES) {
      this.give("The service cannot be reached, or refuses: is an API key needed?");
    } else {
      this.tries += 1;
      setTimeout(() => this.connect(), 500 * this.tries);
    }
  }

  give(message) {
    if (this.done) return;
    this.done = true;
    this.fail(message);
  }

  close() {
    this.done = true;
    this.socket.close();
  }
}
