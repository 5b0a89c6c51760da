/**
 * `deno task release`: the command of a person before a tag (`set`), and of the pipeline after it (`check`, `notes`).
 * It creates no tag and publishes nothing; .github/workflows/release.yml does. The rules are pure functions over the
 * changelog's text: the section of a version, whether it is ready, and its text for the release page.
 */
import { isVersion, readVersion, ROOT_MANIFEST, VERSION_FORM } from "../gen/gen_version.ts";
import { withVersion } from "../gen/gen_version.ts";
import { run } from "../checkout/programs.ts";
import { ROOT } from "../checkout/source_files.ts";

/** One section `## VERSION (NOTE)` of the changelog. */
interface Section {
  /** The text in brackets after the version: a date, or "not yet released". */
  readonly note: string;
  /** The text below the heading, without blank lines around it. */
  readonly text: string;
}

/** The version in the name of a tag. Throws an Error that gives the form of a tag. */
function versionOfTag(tag: string): string {
  const version = tag.replace(/^v/, "");
  if (tag.startsWith("v") && isVersion(version)) return version;
  throw new Error(`"${tag}" is no tag of a release: it must be v and then ${VERSION_FORM}`);
}

const heading = /^## (\S+) \((.*)\)$/;

/** The section of a version; undefined when there is none. */
function sectionOf(changelog: string, version: string): Section | undefined {
  const lines = changelog.split("\n");
  const first = lines.findIndex((line) => heading.exec(line)?.[1] === version);
  if (first < 0) return undefined;
  const rest = lines.slice(first + 1);
  const end = rest.findIndex((line) => line.startsWith("## "));
  const text = rest.slice(0, end < 0 ? undefined : end).join("\n").trim();
  return { note: heading.exec(lines[first] ?? "")?.[2] ?? "", text };
}

function isDate(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false;
  const time_ms = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(time_ms) && new Date(time_ms).toISOString().startsWith(text);
}

/** The problem with this version's section in the changelog, in one sentence; undefined if there is none. */
function changelogProblem(changelog: string, version: string): string | undefined {
  const section = sectionOf(changelog, version);
  if (section === undefined) {
    return `CHANGELOG.md has no section "## ${version} (YYYY-MM-DD)": write it`;
  }
  if (!isDate(section.note)) {
    return `CHANGELOG.md says "${version} (${section.note})": put the day of the release there, YYYY-MM-DD`;
  }
  return section.text === "" ? `CHANGELOG.md says nothing below ${version}: write it` : undefined;
}

/** The changelog with an empty section for the version at the top, unless it already has that section. */
function withSection(changelog: string, version: string): string {
  if (sectionOf(changelog, version) !== undefined) return changelog;
  const added = `## ${version} (not yet released)\n`;
  const at = changelog.search(/^## /m);
  if (at < 0) return `${changelog.trimEnd()}\n\n${added}`;
  return `${changelog.slice(0, at)}${added}\n${changelog.slice(at)}`;
}

/** Joins the lines of each paragraph or list entry, since a release page keeps line breaks. */
function unwrapped(text: string): string {
  const lines: string[] = [];
  let fenced = false;
  for (const line of text.split("\n")) {
    const fence = /^\s*(```|~~~)/.test(line);
    const last = lines.at(-1) ?? "";
    const begins = /^\s*([-*+] |\d+\. |#|\||>)/.test(line) || line.trim() === "" || fence;
    if (fenced || begins || last === "" || /^(#|\s*(```|~~~))/.test(last)) lines.push(line);
    else lines[lines.length - 1] = `${last} ${line.trimStart()}`;
    if (fence) fenced = !fenced;
  }
  return lines.join("\n");
}

/**
 * The text of the release page. `base` is the address of the tagged tree, with a slash at the end; it becomes the
 * prefix of the changelog's relative links, which do not work on the page.
 */
function releaseText(section: Section, base?: string): string {
  const text = unwrapped(section.text);
  if (base === undefined) return `${text}\n`;
  const absolute = text.replace(/\]\((?![a-z][a-z0-9+.-]*:|#)([^)\s]+)\)/gi, `](${base}$1)`);
  return `${absolute}\n`;
}

/** The files in which a release fills in image digests, and the position in each. */
export const DIGEST_FILES = {
  "deploy/kubernetes/kustomization.yaml": (name: string) =>
    new RegExp(`(^  - name: \\S+/${name}\\n    newTag: \\S+)()$`, "m"),
  "deploy/kubernetes/restore.yaml": imageOf,
  "deploy/kubernetes/standby.yaml": imageOf,
  "deploy/helm/arqonbus/values.yaml": (name: string) =>
    new RegExp(`(^  digests:\\n(?:    .*\\n)*?    ${name}: )("")$`, "m"),
} as const satisfies Readonly<Record<string, (name: string) => RegExp>>;

const DIGEST_FORMS: Readonly<Record<keyof typeof DIGEST_FILES, string>> = {
  "deploy/kubernetes/kustomization.yaml": "\n    digest: ",
  "deploy/kubernetes/restore.yaml": "@",
  "deploy/kubernetes/standby.yaml": "@",
  "deploy/helm/arqonbus/values.yaml": "",
};

function imageOf(name: string): RegExp {
  return new RegExp(`(^ +image: \\S+/${name}:[^@\\s]+)()$`, "m");
}

/** Digests of images, by their names. Throws an Error for an invalid digest. */
function assertDigest(name: string, digest: string): void {
  if (/^sha256:[0-9a-f]{64}$/.test(digest)) return;
  throw new Error(
    `the digest of ${name} is "${digest.slice(0, 80)}"; expected sha256: and 64 digits`,
  );
}

/** The file with the digests of its images. Throws an Error if it names none of them. */
function withDigests(
  path: keyof typeof DIGEST_FILES,
  text: string,
  digests: ReadonlyMap<string, string>,
): string {
  let made = text;
  for (const [name, digest] of digests) {
    made = made.replace(DIGEST_FILES[path](name), `$1${DIGEST_FORMS[path]}${digest}`);
  }
  if (made === text) throw new Error(`${path} has no place for the digest of an image`);
  return made;
}

const USAGE = `Usage: deno task release check vX.Y.Z          is the checkout ready for this tag?
       deno task release notes X.Y.Z [URL/]    the text of the release page; relative links
                                               are put below the URL
       deno task release set X.Y.Z             writes the version everywhere
       deno task release digests FOLDER        fills in the manifests and the chart's values which
                                               images they are: a file for each image`;

/** An invalid command line; its message is shown with the usage. */
class UsageError extends Error {}

const read = (path: string) => Deno.readTextFile(ROOT + path);
/** Generates all files, or with `--check` names the outdated ones. */
const generate = (...args: string[]) =>
  run(Deno.execPath(), ["task", "--quiet", "gen", ...args], { env: { NO_COLOR: "1" } });

/** Git's reason against a release; undefined if every file is committed. */
async function dirt(): Promise<string | undefined> {
  const status = await run("git", ["status", "--porcelain"]);
  if (status?.ok !== true) return `git status failed: ${status?.text ?? "there is no git"}`;
  const { text } = status;
  if (text === "") return undefined;
  const [first, ...more] = text.split("\n");
  const others = more.length === 0 ? "" : ` and ${more.length} more`;
  return `not committed: ${first?.trim().replace(/^\S+\s+/, "")}${others}; commit or remove it`;
}

/** The reasons why the release is not ready, each as one sentence. */
async function check(tag: string): Promise<string[]> {
  const version = versionOfTag(tag);
  const problems: (string | undefined)[] = [];
  const current = readVersion(await read(ROOT_MANIFEST.path));
  if (current !== version) {
    problems.push(
      `${tag} is not the version ${current} of deno.json: deno task release set ${version}`,
    );
  }
  problems.push(changelogProblem(await read("CHANGELOG.md"), version), await dirt());
  const made = await generate("--check");
  if (made?.ok !== true) {
    problems.push(`generated files are not current: ${made?.text.split("\n")[0]}`);
  }
  return problems.filter((problem) => problem !== undefined);
}

async function notes(version: string, base: string | undefined): Promise<string> {
  if (base !== undefined && !/^https:\/\/\S+\/$/.test(base)) {
    throw new UsageError(`"${base}" is no address of a folder: https://…/ with the slash`);
  }
  const changelog = await read("CHANGELOG.md");
  const section = sectionOf(changelog, version);
  if (section === undefined || section.text === "") {
    throw new Error(changelogProblem(changelog, version));
  }
  return releaseText(section, base);
}

async function set(version: string): Promise<string> {
  const manifest = await read(ROOT_MANIFEST.path);
  const changelog = await read("CHANGELOG.md");
  await Deno.writeTextFile(`${ROOT}deno.json`, withVersion(ROOT_MANIFEST, manifest, version));
  await Deno.writeTextFile(`${ROOT}CHANGELOG.md`, withSection(changelog, version));
  const made = await generate();
  if (made?.ok !== true) throw new Error(`deno task gen failed: ${made?.text}`);
  return `version ${version}; date its section in CHANGELOG.md on the day of the release\n`;
}

/** Our images in the manifests and the chart. */
const IMAGES = ["arqon", "arqon-brain", "arqon-shield"];

async function fillIn(folder: string): Promise<string> {
  const digests = new Map<string, string>();
  for (const name of IMAGES) {
    const digest = (await Deno.readTextFile(`${folder}/${name}`)).trim();
    assertDigest(name, digest);
    digests.set(name, digest);
  }
  for (const path of Object.keys(DIGEST_FILES) as (keyof typeof DIGEST_FILES)[]) {
    await Deno.writeTextFile(ROOT + path, withDigests(path, await read(path), digests));
  }
  return `${digests.size} digests in ${Object.keys(DIGEST_FILES).join(", ")}\n`;
}

function versionArgument(text: string | undefined): string {
  if (text !== undefined && isVersion(text)) return text;
  throw new UsageError(
    `${text === undefined ? "the version is missing" : `"${text}" is no version`}: ${VERSION_FORM}`,
  );
}

/** Runs the command line. Returns the text for stdout. */
async function main([command, ...args]: string[]): Promise<string> {
  const most = command === "notes" ? 2 : 1;
  if (args.length > most) throw new UsageError(`"${args[most]}" is too much`);
  switch (command) {
    case "check": {
      if (args[0] === undefined) throw new UsageError("the tag is missing");
      const problems = await check(args[0]);
      if (problems.length > 0) throw new Error(problems.join("\n"));
      return `ready for ${args[0]}\n`;
    }
    case "notes":
      return await notes(versionArgument(args[0]), args[1]);
    case "set":
      return await set(versionArgument(args[0]));
    case "digests":
      if (args[0] === undefined) throw new UsageError("the folder is missing");
      return await fillIn(args[0]);
    case "--help":
      return `${USAGE}\n`;
    default:
      throw new UsageError(command === undefined ? "what to do is missing" : `no "${command}"`);
  }
}

if (import.meta.main) {
  try {
    await Deno.stdout.write(new TextEncoder().encode(await main(Deno.args)));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    if (error instanceof UsageError) console.error(USAGE);
    Deno.exit(error instanceof UsageError ? 2 : 1);
  }
}
