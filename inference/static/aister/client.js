/**
 * Aister in a web page: chat and translation over one WebSocket. No dependency, no build step; works in Node 22 too.
 *
 *   import { connect } from "https://models.example.com/static/aister/client.js";
 *
 *   const session = await connect({ url: "https://models.example.com", getToken });
 *   for await (const text of session.send("Hello!")) output.append(text);
 *
 * `getToken` asks your own server for a short-lived token, which it mints with `POST /v1/tokens`. A key in a page can be read by everyone
 * who opens the page, so `key` is for trying things out. Neither ever stands in a URL.
 *
 * Every failure is an AisterError. After a disconnect, connect again and give the conversation back with `session.load(messages)`.
 *
 * @module
 */

const SUBPROTOCOL = "aister.v1";
const TOKEN_PREFIX = "aister.token.";

/**
 * @typedef {{code: string, message: string, param?: string|null, retry_after?: number|null}} ErrorBody
 * @typedef {{id?: string|null, type: string, [field: string]: any}} ServerEvent see docs/protocol.md
 * @typedef {{role: "user"|"assistant", text: string, id?: string, status?: "completed"|"cancelled"}} Message
 * @typedef {{code: "outside_vocabulary"|"not_kept"|"made_up"|"unsure", message: string, words: string[]}} TranslationWarning
 * @typedef {{text: string, source: string, confidence: number, uncertain: boolean, warning?: TranslationWarning}} Translation
 * @typedef {{input_tokens: number, cached_tokens: number, output_tokens: number, truncated: number}} Usage
 * @typedef {{queue_ms: number, first_token_ms: number|null, total_ms: number}} Timing in milliseconds
 * @typedef {object} Done the end of a request
 * @property {"completed"|"cancelled"} status
 * @property {string} request_id
 * @property {string} [finish_reason]
 * @property {Message|null} [message] the answer (chat)
 * @property {Translation[]} [translations] one for each text (translation)
 * @property {Usage} usage
 * @property {Timing} timing
 */

/** What went wrong: the server's error, or `unreachable`, `disconnected` and `http_error` of this module. */
export class AisterError extends Error {
  /** @param {ErrorBody} body @param {{requestId?: string|null, closeCode?: number|null, status?: number|null}} [context] */
  constructor(body, { requestId = null, closeCode = null, status = null } = {}) {
    super(body.message);
    this.name = "AisterError";
    this.code = body.code;
    this.param = body.param ?? null;
    /** Seconds to wait before trying again, where the server knows. */
    this.retryAfter = body.retry_after ?? null;
    this.requestId = requestId;
    this.closeCode = closeCode;
    this.status = status;
  }
}

/**
 * One answer on its way. Iterate over it for its text as it arrives; leaving the loop early cancels the request.
 * `done` resolves with the last event, or rejects with an AisterError.
 */
export class ResponseStream {
  #events = [];
  #ended = false;
  #error = null;
  /** @type {(value?: any) => void} */
  #wake = () => {};
  #changed;
  #resolve;
  #reject;

  /** @param {string} id @param {() => Promise<boolean>} cancel */
  constructor(id, cancel) {
    this.id = id;
    /** The text so far. */
    this.text = "";
    this.cancel = cancel;
    /** @type {Promise<Done>} */
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.done.catch(() => {}); // whoever only iterates meets the error there
    this.#renew();
  }

  /** Text as it arrives. */
  async *[Symbol.asyncIterator]() {
    try {
      for await (const event of this.events()) if (event.type === "response.delta") yield event.text;
    } finally {
      if (!this.#ended) this.cancel().catch(() => {});
    }
  }

  /** Every event of this request, from the first: loading, queued, created, delta, done. @returns {AsyncGenerator<ServerEvent>} */
  async *events() {
    for (let next = 0; ; next++) {
      while (next >= this.#events.length) {
        if (this.#error) throw this.#error;
        if (this.#ended) return;
        await this.#changed;
      }
      yield this.#events[next];
    }
  }

  /** @param {ServerEvent} event */
  receive(event) {
    if (event.type === "error") return this.fail(errorOf(event));
    if (event.type === "response.done" && event.status === "failed") return this.fail(errorOf(event));
    if (event.type === "response.delta") this.text += event.text;
    this.#events.push(event);
    if (event.type === "response.done") this.#finish(() => this.#resolve(event));
    this.#renew();
  }

  /** @param {AisterError} error */
  fail(error) {
    if (this.#ended) return;
    this.#error = error;
    this.#finish(() => this.#reject(error));
    this.#renew();
  }

  #finish(settle) {
    this.#ended = true;
    settle();
  }

  #renew() {
    this.#wake();
    this.#changed = new Promise((resolve) => (this.#wake = resolve));
  }
}

/**
 * An open session. Each server event is also dispatched under its own name: `session.addEventListener("session.closing", ...)`.
 */
export class Session extends EventTarget {
  #socket;
  #onFrame;
  #streams = new Map();
  #commands = new Map();
  #lastId = 0;
  #lastError = null;

  /** Use `connect`. @param {WebSocket} socket @param {(direction: "sent"|"received", event: object) => void} onFrame */
  constructor(socket, onFrame) {
    super();
    this.#socket = socket;
    this.#onFrame = onFrame;
    /** The `session.created` event: session_id, task, model, languages, settings, limits. @type {ServerEvent|null} */
    this.info = null;
    /** Resolves with an AisterError (its closeCode says which) when the session has ended. @type {Promise<AisterError>} */
    this.closed = new Promise((resolve) => {
      socket.onclose = (close) => resolve(this.#end(close));
    });
    /** @type {Promise<Session>} */
    this.opened = new Promise((resolve, reject) => {
      this.addEventListener("session.created", () => resolve(this), { once: true });
      this.closed.then(reject);
    });
    this.opened.catch(() => {});
    socket.onmessage = (frame) => this.#receive(JSON.parse(frame.data));
  }

  /** Say something and get the answer. @param {string} text @returns {ResponseStream} */
  send(text) {
    return this.#request({ type: "message.create", text });
  }

  /** Replace a user message, drop all after it, and answer anew. @param {string} messageId @param {string} text */
  edit(messageId, text) {
    return this.#request({ type: "message.edit", message_id: messageId, text });
  }

  /** Answer the last user message again. @returns {ResponseStream} */
  regenerate() {
    return this.#request({ type: "response.regenerate" });
  }

  /** Translate a text, or a list of them. @param {string|string[]} text @param {{source?: string, target?: string}} [languages] */
  translate(text, { source, target } = {}) {
    return this.#request({ type: "translation.create", text, source, target });
  }

  /** Cancel a request; false when it had ended already. @param {ResponseStream} stream @returns {Promise<boolean>} */
  async cancel(stream) {
    return (await this.#command({ type: "response.cancel", target: stream.id })).found;
  }

  /** Change settings of later requests; null restores a default. @param {object} settings @returns {Promise<object>} all of them */
  async update(settings) {
    return (await this.#command({ type: "session.update", settings })).settings;
  }

  /** The conversation as it stands. @returns {Promise<Message[]>} */
  async conversation() {
    return (await this.#command({ type: "conversation.get" })).messages;
  }

  /** Replace the conversation. @param {Message[]} messages @returns {Promise<Message[]>} */
  async load(messages) {
    return (await this.#command({ type: "conversation.load", messages })).messages;
  }

  /** End the session. */
  close() {
    this.#socket.close(1000);
  }

  #request(event) {
    const stream = new ResponseStream(this.#nextId(), () => this.cancel(stream));
    this.#streams.set(stream.id, stream);
    this.#transmit({ ...event, id: stream.id }, stream);
    return stream;
  }

  #command(event) {
    return new Promise((resolve, reject) => {
      const id = this.#nextId();
      this.#commands.set(id, { receive: resolve, fail: reject });
      this.#transmit({ ...event, id }, this.#commands.get(id));
    });
  }

  #nextId() {
    return String(++this.#lastId);
  }

  #transmit(event, waiting) {
    if (this.#socket.readyState !== WebSocket.OPEN) return waiting.fail(disconnected());
    this.#socket.send(JSON.stringify(event));
    this.#onFrame("sent", event);
  }

  #receive(event) {
    this.#onFrame("received", event);
    if (event.type === "session.created") this.info = event;
    if (event.type === "error" && event.id === null) this.#lastError = event;
    this.#deliver(event);
    this.dispatchEvent(new CustomEvent(event.type, { detail: event }));
  }

  #deliver(event) {
    const stream = this.#streams.get(event.id);
    if (stream) {
      if (event.type === "response.done" || event.type === "error") this.#streams.delete(event.id);
      return stream.receive(event);
    }
    const command = this.#commands.get(event.id);
    this.#commands.delete(event.id);
    if (command) return event.type === "error" ? command.fail(errorOf(event)) : command.receive(event);
  }

  #end({ code }) {
    const error = this.#lastError ? errorOf(this.#lastError, code) : disconnected(code);
    for (const waiting of [...this.#streams.values(), ...this.#commands.values()]) waiting.fail(error);
    this.#streams.clear();
    this.#commands.clear();
    return error;
  }
}

/**
 * Open a session.
 *
 * @param {object} [options]
 * @param {string} [options.url] the server's address; this page's by default
 * @param {"chat"|"translate"} [options.task]
 * @param {string} [options.model] one of `GET /v1/models`; the server's default otherwise
 * @param {string} [options.token] a short-lived token, or
 * @param {() => Promise<string>} [options.getToken] what fetches one, or
 * @param {string} [options.key] an API key, exchanged for a token first
 * @param {(direction: "sent"|"received", event: object) => void} [options.onFrame] sees every frame
 * @returns {Promise<Session>} once the server has said `session.created`
 */
export async function connect({ url = location.origin, task = "chat", model, token, getToken, key, onFrame = () => {} } = {}) {
  const secret = token ?? (getToken ? await getToken() : key ? (await fetchToken({ url, key })).token : null);
  const protocols = secret ? [SUBPROTOCOL, TOKEN_PREFIX + secret] : [SUBPROTOCOL];
  return new Session(new WebSocket(socketUrl(url, task, model), protocols), onFrame).opened;
}

/**
 * Exchange a key for a short-lived token, as narrow as you say.
 * @param {{url?: string, key: string, tasks?: string[], models?: string[], origin?: string, expires_in_s?: number}} options
 * @returns {Promise<{token: string, expires_at: string, tasks: string[]|null, models: string[]|null}>}
 */
export function fetchToken({ url = location.origin, key, ...narrower }) {
  const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
  return fetchJson(new URL("/v1/tokens", url), { method: "POST", headers, credentials: "omit", body: JSON.stringify(narrower) });
}

/** Fetch JSON from the API; a refusal or a failure is an AisterError. @param {URL|string} url @param {RequestInit} [options] */
export async function fetchJson(url, options) {
  const response = await fetch(url, options).catch(() => {
    throw new AisterError({ code: "unreachable", message: "The server can't be reached. Check that it is running." });
  });
  const body = await response.json().catch(() => null);
  if (response.ok && body) return body;
  const context = { status: response.status, requestId: body?.request_id ?? null };
  throw new AisterError(body?.error ?? { code: "http_error", message: `The server answered with status ${response.status}.` }, context);
}

function socketUrl(url, task, model) {
  const address = new URL(`/v1/${task}`, url);
  address.protocol = address.protocol.replace("http", "ws");
  if (model) address.searchParams.set("model", model);
  return address;
}

function errorOf(event, closeCode = null) {
  return new AisterError(event.error, { requestId: event.request_id, closeCode });
}

function disconnected(closeCode = null) {
  return new AisterError({ code: "disconnected", message: "The connection was lost." }, { closeCode });
}
