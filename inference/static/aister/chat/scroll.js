/** The conversation scrolls along only for someone who is at its end; others are offered the way there. */

const NEAR_PX = 48;

export class Follower {
  #log;
  #button;
  #following = true;
  #lastTop = 0;

  /** @param {HTMLElement} log @param {HTMLElement} content @param {HTMLButtonElement} button "Jump to latest" */
  constructor(log, content, button) {
    this.#log = log;
    this.#button = button;
    log.addEventListener("scroll", () => this.#look(), { passive: true });
    button.addEventListener("click", () => this.jump());
    new ResizeObserver(() => this.#grown()).observe(content);
    new ResizeObserver(() => this.#grown()).observe(log);
  }

  /** Go to the end and follow from there. */
  jump() {
    this.#following = true;
    this.#grown();
  }

  /** Only going up ends following: while text streams in, a scroll event may find the end already further down. */
  #look() {
    const { scrollTop, scrollHeight, clientHeight } = this.#log;
    if (scrollHeight - scrollTop - clientHeight < NEAR_PX) this.#following = true;
    else if (scrollTop < this.#lastTop) this.#following = false;
    this.#lastTop = scrollTop;
    this.#button.hidden = this.#following;
  }

  #grown() {
    if (this.#following) this.#log.scrollTop = this.#log.scrollHeight;
    this.#look();
  }
}
