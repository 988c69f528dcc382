/** Tabs as the ARIA authoring practices have them: arrows, Home and End move and select; one tab is in the tab order. */

export class Tabs {
  #tabs;
  #onSelect;

  /** @param {HTMLElement} list a tablist whose tabs name their panels in `aria-controls` @param {(name: string) => void} onSelect */
  constructor(list, onSelect) {
    this.#tabs = [...list.querySelectorAll("[role=tab]")];
    this.#onSelect = onSelect;
    list.addEventListener("click", (event) => this.#choose(this.#tabs.indexOf(event.target.closest("[role=tab]"))));
    list.addEventListener("keydown", (event) => this.#move(event));
  }

  /** Show a tab by its `data-name`, without telling anyone. @param {string} name */
  show(name) {
    for (const tab of this.#tabs) {
      const selected = tab.dataset.name === name;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
    }
    const shown = this.#tabs.find((tab) => tab.dataset.name === name).getAttribute("aria-controls");
    for (const tab of this.#tabs) {
      const panel = tab.getAttribute("aria-controls");
      document.getElementById(panel).hidden = panel !== shown;
    }
  }

  #choose(index) {
    if (index < 0) return;
    this.show(this.#tabs[index].dataset.name);
    this.#onSelect(this.#tabs[index].dataset.name);
  }

  #move(event) {
    const at = this.#tabs.indexOf(event.target);
    const last = this.#tabs.length - 1;
    const next = { ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at === 0 ? last : at - 1, Home: 0, End: last }[event.key];
    if (at < 0 || next === undefined) return;
    event.preventDefault();
    this.#tabs[next].focus();
    this.#choose(next);
  }
}
