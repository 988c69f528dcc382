/**
 * A panel beside the work on a wide screen, a sheet over it on a narrow one: one `<dialog>`, so that the sheet traps focus, closes on
 * Escape and gives focus back, all by the browser.
 */

import { byId } from "../dom.js";

const WIDE = window.matchMedia("(min-width: 1100px)");

export class Panel {
  #dialog;
  #button;

  /** @param {string} id of the dialog @param {string} buttonId of what opens and folds it @param {{openWhenWide?: boolean}} [options] */
  constructor(id, buttonId, { openWhenWide = false } = {}) {
    this.#dialog = byId(id);
    this.#button = byId(buttonId);
    this.#button.addEventListener("click", () => (this.isOpen ? this.close() : this.open()));
    this.#dialog.querySelector("[data-close]").addEventListener("click", () => this.close());
    this.#dialog.addEventListener("close", () => this.#tell());
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.close()); // the backdrop
    WIDE.addEventListener("change", () => this.#adapt(openWhenWide));
    if (openWhenWide && WIDE.matches) this.#beside();
    this.#tell();
  }

  get isOpen() {
    return this.#dialog.open;
  }

  open() {
    if (WIDE.matches) this.#beside();
    else {
      this.#dialog.removeAttribute("role");
      this.#dialog.showModal();
    }
    this.#tell();
  }

  close() {
    this.#dialog.close();
    this.#tell();
    this.#button.focus();
  }

  /** `show()` would take the focus from where someone types. */
  #beside() {
    this.#dialog.setAttribute("role", "region");
    this.#dialog.setAttribute("open", "");
  }

  #adapt(openWhenWide) {
    this.#dialog.close();
    if (WIDE.matches && openWhenWide) this.#beside();
    this.#tell();
  }

  #tell() {
    this.#button.setAttribute("aria-expanded", String(this.isOpen));
    document.body.classList.toggle(`${this.#dialog.id}-beside`, this.isOpen && WIDE.matches);
  }
}
