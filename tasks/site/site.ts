/**
 * `deno task docs:site`: builds the documents as a site into `dist/site`, with VitePress. VitePress fails for a dead
 * link (`documents` of the rules checks the anchors), and this program fails for a document that the navigation does
 * not name. `--base /arqonbus/` is the path of the served site, `/` by default. Each page has its Markdown beside it,
 * for programs, with `llms.txt`. `--check` builds into the cache and does not change `dist`. Packages come from npm
 * once; the build itself needs no network.
 */
import { parseArgs } from "node:util";
import { arqHelp, llmsFullText, llmsText, markdownPages } from "./site_pages.ts";
import { navigationProblems, PAGES, sitePage } from "./site_pages.ts";
import { placeOf } from "../../docs/.vitepress/pages.ts";
import { deno } from "../checkout/programs.ts";
import { listFiles, ROOT } from "../checkout/source_files.ts";
import { exitWith } from "../checkout/violation.ts";

const ARQ_PAGE = "docs/arq.md";
const CACHE = `${ROOT}.arqon/site`;
const ASSETS = [".svg", ".png", ".json"];

function readArguments(args: string[]) {
  const { base, check } = parseArgs({
    args,
    options: { base: { type: "string", default: "/" }, check: { type: "boolean", default: false } },
  }).values;
  if (!/^\/([\w.-]+\/)*$/.test(base)) {
    throw new RangeError(`--base "${base}": begins and ends with a slash`);
  }
  return { base, check };
}

async function copy(from: string, to: string): Promise<void> {
  await Deno.mkdir(to.slice(0, to.lastIndexOf("/")), { recursive: true });
  await Deno.copyFile(from, to);
}

interface Sources {
  /** Every file of the checkout. */
  readonly files: readonly string[];
  /** The pages by their files. */
  readonly texts: ReadonlyMap<string, string>;
  isFolder(path: string): boolean;
}

async function readSources(files: readonly string[]): Promise<Sources> {
  const texts = new Map<string, string>();
  for (const { file } of PAGES) texts.set(file, await Deno.readTextFile(ROOT + file));
  texts.set(ARQ_PAGE, `${texts.get(ARQ_PAGE)}\n${arqHelp()}`);
  return { files, texts, isFolder: (path) => files.some((file) => file.startsWith(`${path}/`)) };
}

/** Writes the files for programs beside the built pages. */
async function writeMarkdown({ texts, isFolder }: Sources, out: string): Promise<void> {
  const pages = markdownPages(texts, isFolder);
  for (const [path, text] of pages) await Deno.writeTextFile(`${out}/${path}`, text);
  await Deno.writeTextFile(`${out}/llms.txt`, llmsText(texts));
  await Deno.writeTextFile(`${out}/llms-full.txt`, llmsFullText(pages));
}

/** Writes VitePress' input: the pages, the files that they show, and the settings. */
async function prepare({ files, texts, isFolder }: Sources): Promise<void> {
  await Deno.remove(`${CACHE}/pages`, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  await Deno.mkdir(`${CACHE}/pages/public`, { recursive: true });
  for (const page of PAGES) {
    const prepared = sitePage(page.file, texts.get(page.file) ?? "", isFolder);
    await Deno.writeTextFile(`${CACHE}/pages/${placeOf(page)}.md`, prepared);
  }
  for (const file of files) {
    if (!file.startsWith("docs/") || !ASSETS.some((end) => file.endsWith(end))) continue;
    if (file.startsWith("docs/.vitepress/")) continue;
    await copy(ROOT + file, `${CACHE}/pages/public/${file.slice("docs/".length)}`);
    await copy(ROOT + file, `${CACHE}/pages/${file.slice("docs/".length)}`);
  }
  for (const name of ["config.ts", "pages.ts", "theme/index.js", "theme/style.css"]) {
    await copy(`${ROOT}docs/.vitepress/${name}`, `${CACHE}/.vitepress/${name}`);
  }
  // The checkout has them under other names, since deno would treat the folder as a separate project.
  await copy(`${ROOT}docs/.vitepress/packages.json`, `${CACHE}/package.json`);
  await copy(`${ROOT}docs/.vitepress/packages.lock`, `${CACHE}/deno.lock`);
}

async function build(base: string, out: string): Promise<void> {
  const cwd = CACHE;
  await deno(["install", "--quiet", "--frozen", "--node-modules-dir=auto"], { cwd });
  const program = "node_modules/vitepress/bin/vitepress.js";
  const args = ["build", ".", "--base", base, "--outDir", out];
  await deno(["run", "--quiet", "-A", "--deny-net", program, ...args], { cwd });
}

if (import.meta.main) {
  const args = readArguments(Deno.args);
  const files = await listFiles([""]);
  const forgotten = navigationProblems(files.filter((file) => file.endsWith(".md")));
  if (forgotten.length > 0) exitWith(forgotten, "");
  await Deno.mkdir(CACHE, { recursive: true });
  // The system releases the lock with the process. The lock prevents two builds from overwriting each other's files.
  using lock = await Deno.open(`${CACHE}/build.lock`, { create: true, write: true });
  await lock.lock(true);
  const sources = await readSources(files);
  await prepare(sources);
  const out = args.check ? `${CACHE}/out` : `${ROOT}dist/site`;
  await build(args.base, out);
  await writeMarkdown(sources, out);
  console.log(`${PAGES.length} pages in ${out}`);
}
