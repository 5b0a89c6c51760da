/**
 * The settings of VitePress: names, sidebar, search. `tasks/site/site.ts` copies it beside the pages that
 * it prepares, and gives the base path. It imports nothing of VitePress, which is not a package of
 * the workspace.
 */
import { placeOf, SECTIONS } from "./pages.ts";

const sidebar = SECTIONS.map(({ text, pages }) => ({
  text,
  items: pages.map((page) => ({ text: page.text, link: `/${placeOf(page)}` })),
}));

/** What is used of a token of markdown-it. */
interface Token {
  tag: string;
  readonly content: string;
}

/** What is used of markdown-it, which VitePress brings along. */
interface Markdown {
  readonly renderer: {
    readonly rules: Record<string, (tokens: Token[], at: number, options: unknown) => string>;
    renderToken(tokens: Token[], at: number, options: unknown): string;
  };
}

/** A column without a heading has a cell there that says nothing, not a heading that says nothing. */
function plainCorners({ renderer }: Markdown): void {
  renderer.rules.th_open = (tokens, at, options) => {
    const [open, inline, close] = tokens.slice(at, at + 3);
    if (open !== undefined && close !== undefined && inline?.content === "") {
      open.tag = close.tag = "td";
    }
    return renderer.renderToken(tokens, at, options);
  };
}

/**
 * A word as the search knows it; undefined for one that every page has. VitePress takes its text into the page, so it
 * uses nothing from outside.
 */
function searchTerm(word: string): string | undefined {
  const term = word.toLowerCase();
  return /^(a|an|and|are|as|at|be|by|do|for|in|is|it|its|my|of|on|or|the|to|was|were|with)$/.test(
      term,
    )
    ? undefined
    : term;
}

/** People look for a page about something: its beginning is worth more than its parts; lists and our own work less. */
function boostDocument(id: string, _term: string, stored?: { titles?: string[] }): number {
  // The home page has links and no answers.
  if (/\/(#|$)/.test(id)) return 0;
  const is_last = /\/(arq|changes|contributing|epoch1_overview|architecture|compare)\.html/.test(
    id,
  );
  if (is_last) return 0.4;
  return stored?.titles?.length === 0 ? 2 : 1;
}

/** Read by VitePress. */
export default {
  srcDir: "pages",
  title: "ArqonBus",
  description: "A realtime message bus for applications with many tenants",
  lang: "en",
  // No icon yet, and no request for one.
  head: [["link", { rel: "icon", href: "data:," }]],
  markdown: {
    config: plainCorners,
    // Of the built-in themes, the ones whose every colour has enough contrast.
    theme: { light: "github-light-high-contrast", dark: "github-dark-high-contrast" },
  },
  ignoreDeadLinks: "localhostLinks",
  // Where the page is as Markdown; all pages lie in one folder.
  transformHead: ({ pageData: { relativePath } }: { pageData: { relativePath: string } }) =>
    relativePath === "404.md"
      ? []
      : [["link", { rel: "alternate", type: "text/markdown", href: `./${relativePath}` }]],
  themeConfig: {
    search: {
      provider: "local",
      options: {
        miniSearch: { options: { processTerm: searchTerm }, searchOptions: { boostDocument } },
      },
    },
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
