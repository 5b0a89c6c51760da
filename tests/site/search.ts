/**
 * The search of the built site, without a browser: VitePress's index, loaded by the library that loads it in a page,
 * with the same options.
 */
import assert from "node:assert/strict";
import MiniSearch from "minisearch";
import config from "../../docs/.vitepress/config.ts";

/** VitePress 1.6 sets these in addition to ours, in its `VPLocalSearchBox.vue`. */
const FIELDS = { fields: ["title", "titles", "text"], storeFields: ["title", "titles"] };
const SEARCH = { fuzzy: 0.2, prefix: true, boost: { title: 4, text: 2, titles: 1 } };

/** Answers a query with the names of the site's pages, the best one first; each matching section counts. */
export async function siteSearch(site: string): Promise<(query: string) => string[]> {
  const chunks = `${site}/assets/chunks`;
  const names = await Array.fromAsync(Deno.readDir(chunks), ({ name }) => name);
  const index = names.find((name) => name.startsWith("@localSearchIndex"));
  assert.ok(index !== undefined, `no index in ${chunks}`);
  const { default: json } = await import(`file://${chunks}/${index}`);
  const { options, searchOptions } = config.themeConfig.search.options.miniSearch;
  const search = MiniSearch.loadJSON(json, { ...FIELDS, ...options });
  return (query) =>
    search.search(query, { ...SEARCH, ...searchOptions })
      .map(({ id }) => /([^/]+)\.html/.exec(String(id))?.[1] ?? "index");
}
