// The theme of the site: VitePress's own, with enough contrast everywhere and a page for addresses that
// lead nowhere which is a page like the others. `tasks/site/site.ts` copies it beside the settings.
import { h } from "vue";
import { withBase } from "vitepress";
import DefaultTheme from "vitepress/theme";
import "./style.css";

function NotFound() {
  return h("main", { class: "not-found" }, [
    h("h1", "There is no such page"),
    h("p", "It may have been renamed. The search knows every page, and so does the start."),
    h("a", { href: withBase("/") }, "To the start"),
  ]);
}

/** Read by VitePress. */
export default {
  extends: DefaultTheme,
  Layout: () => h(DefaultTheme.Layout, null, { "not-found": NotFound }),
};
