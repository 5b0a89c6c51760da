// Sets the chosen theme before the first paint: a classic script, run while the page is parsed.
// Without a choice the system's preference applies. `shell.js` changes the choice.
(() => {
  try {
    const theme = localStorage.getItem("arqon-theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Without storage the system's preference applies.
  }
})();
