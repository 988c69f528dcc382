/* The theme: system, light or dark. A plain script in the head, so that the page never shows in the wrong one first. */

(() => {
  const KEY = "aister.theme";
  const THEMES = ["system", "light", "dark"];
  const root = document.documentElement;

  function stored() {
    try {
      return THEMES.includes(localStorage.getItem(KEY)) ? localStorage.getItem(KEY) : "system";
    } catch {
      return "system"; // storage is turned off
    }
  }

  function apply(theme) {
    root.dataset.theme = theme;
    const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    const button = document.getElementById("theme");
    if (!button) return;
    button.setAttribute("aria-label", `Theme: ${theme}. Switch to ${next}.`);
    button.title = `Theme: ${theme}`;
    button.dataset.next = next;
  }

  function choose(theme) {
    apply(theme);
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      /* storage is turned off: the choice lasts until the page is left */
    }
  }

  apply(stored());
  document.addEventListener("DOMContentLoaded", () => {
    apply(stored());
    document.getElementById("theme").addEventListener("click", (event) => choose(event.currentTarget.dataset.next));
  });
})();
