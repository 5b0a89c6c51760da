/**
 * `deno task docs:site`: builds the documents as a site into `dist/site`, with VitePress. It fails for a dead
 * link, and for a document that is missing in the navigation. `--base /arqonbus/` is the path under which the
 * site is served, `/` by default. Beside every page lies its Markdown, for programs, with `llms.txt`. `--check` builds
 * into the cache and leaves `dist` alone. Packages come from npm once; the build itself needs no network.
 */
import { arqHelp } from "./arq_help.ts";
import { llmsFullText, llmsText, markdownPages } from "./llms.ts";
import { deadLinks } from "./site_links.ts";
import { navigationProblems, PAGES, sitePage } from "./site_pages.ts";
import { placeOf } from "../../docs/.vitepress/pages.ts";
import { deno } from "../checkout/programs.ts";
import { listFiles, ROOT } from "../checkout/source_files.ts";
import { exitWith, type Violation } from "../checkout/violation.ts";

const ARQ_PAGE = "docs/arq.md";
const CACHE = `${ROOT}.arqon/site`;
const ASSETS = [".svg", ".png", ".json"];
const USAGE = "usage: deno task docs:site [--check] [--base /PATH/]";

interface Asked {
  readonly base: string;
  readonly check: boolean;
}

function readArguments(args: readonly string[]): Asked {
  let base = "/";
  let check = false;
  for (let index = 0; index < args.length; index++) {
    if (args[index] === "--check") check = true;
    else if (args[index] === "--base") base = args[++index] ?? "";
    else throw new RangeError(`"${args[index]}" is no argument; ${USAGE}`);
  }
  if (!/^\/([\w.-]+\/)*$/.test(base)) {
    throw new RangeError(`--base "${base}": begins and ends with a slash; ${USAGE}`);
  }
  return { base, check };
}

async function copy(from: string, to: string): Promise<void> {
  await Deno.mkdir(to.slice(0, to.lastIndexOf("/")), { recursive: true });
  await Deno.copyFile(from, to);
}

/** The folders in which the files lie. */
function foldersOf(files: readonly string[]): ReadonlySet<string> {
  return new Set(files.flatMap((file) => {
    const parts = file.split("/").slice(0, -1);
    return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
  }));
}

/** What the site is made of. */
interface Sources {
  /** Every file of the checkout. */
  readonly files: readonly string[];
  /** The pages by their files. */
  readonly texts: ReadonlyMap<string, string>;
  isFolder(path: string): boolean;
}

async function readSources(files: readonly string[]): Promise<Sources> {
  const folders = foldersOf(files);
  const texts = new Map<string, string>();
  for (const { file } of PAGES) texts.set(file, await Deno.readTextFile(ROOT + file));
  texts.set(ARQ_PAGE, `${texts.get(ARQ_PAGE)}\n${arqHelp()}`);
  return { files, texts, isFolder: (path) => folders.has(path) };
}

/** Writes what programs read beside the built pages. */
async function writeMarkdown({ texts, isFolder }: Sources, out: string): Promise<void> {
  const pages = markdownPages(texts, isFolder);
  for (const [path, text] of pages) await Deno.writeTextFile(`${out}/${path}`, text);
  await Deno.writeTextFile(`${out}/llms.txt`, llmsText(texts));
  await Deno.writeTextFile(`${out}/llms-full.txt`, llmsFullText(pages));
}

/** Writes what VitePress reads: the pages, the files that they show, and the settings. */
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
  // The checkout has them under other names, since deno would take the folder for a project of its own.
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

async function check(out: string, base: string): Promise<Violation[]> {
  const files = await listFiles([""], `${out}/`);
  const pages = new Map<string, string>();
  for (const file of files.filter((path) => path.endsWith(".html"))) {
    pages.set(file, await Deno.readTextFile(`${out}/${file}`));
  }
  return deadLinks(pages, new Set(files), base);
}

if (import.meta.main) {
  const asked = readArguments(Deno.args);
  const files = await listFiles([""]);
  const forgotten = navigationProblems(files.filter((file) => file.endsWith(".md")));
  if (forgotten.length > 0) exitWith(forgotten, "");
  await Deno.mkdir(CACHE, { recursive: true });
  // The system ends the lock with the process. With it, two builds do not overwrite each other's files.
  using lock = await Deno.open(`${CACHE}/build.lock`, { create: true, write: true });
  await lock.lock(true);
  const sources = await readSources(files);
  await prepare(sources);
  const out = asked.check ? `${CACHE}/out` : `${ROOT}dist/site`;
  await build(asked.base, out);
  await writeMarkdown(sources, out);
  exitWith(await check(out, asked.base), `${PAGES.length} pages in ${out}`);
}
