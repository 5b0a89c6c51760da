/**
 * Planted faults for a copy of the bus, which test whether the model finds them: a patch each, in `planted/`. The text
 * above its first file describes the fault, which rows it affects (`near: gate=policy reads=text|binary`), and which
 * other test of this folder it runs in if it needs another fault at the same time (`test: NAME`).
 */
import { FACTORS, type Row, SEATS } from "./factors.ts";

const FOLDER = new URL("planted/", import.meta.url).pathname;

/** A planted fault. */
export interface Plant {
  /** Its file's name, without `.patch`. */
  readonly name: string;
  readonly path: string;
  /** A description. */
  readonly fault: string;
  /** Rows that run first, since it shows there if anywhere; all others run only if it does not. */
  readonly near: (row: Row) => boolean;
  /** Another file of this folder, whose rows run instead of those. */
  readonly test: string | undefined;
}

/** For `name=value|value …`: whether a row has one of the values of each name; `reads` is any of its readers. */
function nearBy(words: string): Plant["near"] {
  const wanted = words.split(" ").filter((word) => word !== "").map((word) => {
    const [name = "", values = ""] = word.split("=");
    const names = (name === "reads" ? SEATS : [name]) as (keyof Row)[];
    const known: readonly string[] = FACTORS[names[0]!] ?? [];
    const all = values.split("|");
    if (!all.every((one) => known.includes(one))) throw new Error(`no row has ${word}`);
    return { names, all };
  });
  return (row) => wanted.every(({ names, all }) => names.some((name) => all.includes(row[name])));
}

/** Reads all patches, in the order of their names. */
export async function readPlants(): Promise<Plant[]> {
  const names = Array.from(Deno.readDirSync(FOLDER), ({ name }) => name).toSorted();
  return await Promise.all(names.map(async (file) => {
    const path = FOLDER + file;
    const [head = ""] = (await Deno.readTextFile(path)).split("\n--- ", 1);
    const [fault = "", ...lines] = head.split("\n");
    const valueOf = (name: string) =>
      lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
    const near = nearBy(valueOf("near") ?? "");
    return { name: file.replace(".patch", ""), path, fault, near, test: valueOf("test") };
  }));
}

/** The places where the patch does not fit the files: their old lines do not follow one another. */
export async function staleParts({ name, path }: Plant, folder: string): Promise<string[]> {
  const [, ...files] = (await Deno.readTextFile(path)).split(/^--- a\//m);
  const stale = await Promise.all(files.map(async (patch) => {
    const [file = "", ...parts] = patch.split(/^@@ .*\n/m);
    const at = file.slice(0, file.indexOf("\n"));
    const text = await Deno.readTextFile(`${folder}/${at}`);
    const old = (part: string) => part.replaceAll(/^\+.*\n/gm, "").replaceAll(/^[ -]/gm, "");
    return parts.filter((part) => !text.includes(old(part))).map((part) =>
      `${name}: ${at}\n${part}`
    );
  }));
  return stale.flat();
}
