/**
 * Who this page is: someone signed in, for whom it mints tokens, or the holder of a key, which it exchanges for tokens.
 * A key stays in memory; in sessionStorage (this tab, until it closes) only for those who ask for that.
 */

import { AisterError, fetchJson, fetchToken } from "../client.js";

const STORED_KEY = "aister.key";
const MARGIN_MS = 30_000;

export class Access {
  #key = sessionStorage.getItem(STORED_KEY);
  #token = null;
  #signedIn;

  /** @param {boolean} signedIn */
  constructor(signedIn) {
    this.#signedIn = signedIn;
  }

  /** Whether there is anything to get a token with. */
  get isPossible() {
    return this.#signedIn || this.#key !== null;
  }

  get hasKey() {
    return this.#key !== null;
  }

  /** Try a key; an AisterError says why it won't do, and then the one before it stays. @param {string} key @param {boolean} remember */
  async useKey(key, remember) {
    this.#token = await fetchToken({ key: checked(key) });
    this.#key = key;
    if (remember) sessionStorage.setItem(STORED_KEY, key);
    else sessionStorage.removeItem(STORED_KEY);
  }

  /** Forget the key. */
  dropKey() {
    this.#key = this.#token = null;
    sessionStorage.removeItem(STORED_KEY);
  }

  /** A token that is good for a while. @returns {Promise<string>} */
  async token() {
    if (!this.#token || Date.parse(this.#token.expires_at) - Date.now() < MARGIN_MS) this.#token = await this.#mint();
    return this.#token.token;
  }

  /** The next session starts with a new token. */
  renew() {
    this.#token = null;
  }

  /** Fetch JSON from the API as the one this page is. @param {string} path */
  async get(path) {
    return fetchJson(path, { headers: { Authorization: `Bearer ${await this.token()}` }, credentials: "omit" });
  }

  #mint() {
    return this.#key === null ? mintSignedIn() : fetchToken({ key: this.#key });
  }
}

/** Headers take visible ASCII only, and `fetch` would fail on others in words that help nobody. */
function checked(key) {
  if (/^[\x21-\x7e]+$/.test(key)) return key;
  throw new AisterError({ code: "malformed_key", message: "This is not a whole API key. Copy it again: no spaces, no line breaks." });
}

function mintSignedIn() {
  const headers = { "X-CSRFToken": csrfToken(), "Content-Type": "application/json" };
  return fetchJson("/v1/tokens", { method: "POST", headers, credentials: "same-origin", body: "{}" });
}

/** Signing in again elsewhere renews the cookie, so it comes before what the page was made with. */
function csrfToken() {
  const cookie = document.cookie.split("; ").find((pair) => pair.startsWith("csrftoken="));
  return cookie?.split("=")[1] ?? document.querySelector("meta[name=csrf-token]").content;
}
