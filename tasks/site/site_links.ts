/**
 * Checks the links of the built site, as a pure function: every `href` and `src` inside of the site leads to
 * a file that was built, and to an id that the page has. `site.ts` reads the files.
 */
import type { Violation } from "../checkout/violation.ts";

/** The ids of the elements in a page. */
function idsOf(html: string): Set<string> {
  return new Set([...html.matchAll(/\sid="([^"]+)"/g)].flatMap(([, id]) => id ?? []));
}

const unescaped = (text: string) => text.replaceAll("&amp;", "&").replaceAll("&quot;", '"');

/**
 * Every dead link of the site. `pages` are the built HTML files by path below the site's root, `files` all
 * its paths, and `base` the path under which it is served, with both slashes.
 */
export function deadLinks(
  pages: ReadonlyMap<string, string>,
  files: ReadonlySet<string>,
  base: string,
): Violation[] {
  const ids = new Map([...pages].map(([path, html]) => [path, idsOf(html)]));
  return [...pages].flatMap(([path, html]) => {
    const targets = [...html.matchAll(/\s(?:href|src)="([^"]*)"/g)].map(([, raw]) => raw ?? "");
    return [...new Set(targets.map(unescaped))].flatMap((target) => {
      const url = new URL(target, `http://site${base}${path}`);
      if (url.host !== "site" || !url.protocol.startsWith("http")) return [];
      const problem = (message: string) => [{ path, line: 0, message: `"${target}" ${message}` }];
      if (!url.pathname.startsWith(base)) return problem(`leaves ${base}`);
      const wanted = decodeURIComponent(url.pathname.slice(base.length));
      const file = wanted === "" || wanted.endsWith("/") ? `${wanted}index.html` : wanted;
      const found = [file, `${file}.html`].find((name) => files.has(name));
      if (found === undefined) return problem("leads nowhere");
      const id = decodeURIComponent(url.hash.slice(1));
      if (id === "" || ids.get(found)?.has(id) !== false) return [];
      return problem(`names an anchor that ${found} does not have`);
    });
  });
}
