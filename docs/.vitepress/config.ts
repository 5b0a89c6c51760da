/**
 * The settings of VitePress: names, sidebar, search. `tasks/site.ts` copies it beside the pages that
 * it prepares, and gives the base path. It imports nothing of VitePress, which is not a package of
 * the workspace.
 */
import { placeOf, SECTIONS } from "./pages.ts";

const sidebar = SECTIONS.map(({ text, pages }) => ({
  text,
  items: pages.map((page) => ({ text: page.text, link: `/${placeOf(page)}` })),
}));

/** Read by VitePress. */
export default {
  srcDir: "pages",
  title: "ArqonBus",
  description: "A realtime message bus for applications with many tenants",
  lang: "en",
  // No icon yet, and no request for one.
  head: [["link", { rel: "icon", href: "data:," }]],
  ignoreDeadLinks: "localhostLinks",
  themeConfig: {
    search: { provider: "local" },
    outline: { level: [2, 3] },
    nav: [
      { text: "Quick start", link: "/quick_start" },
      { text: "Protocol", link: "/protocol" },
      { text: "Errors", link: "/errors" },
      { text: "arq", link: "/arq" },
    ],
    sidebar,
    socialLinks: [{ icon: "github", link: "https://github.com/novelbytelabs/arqonbus" }],
    footer: { message: "Apache License 2.0" },
  },
};
