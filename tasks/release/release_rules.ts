/**
 * The rules for a release, as pure functions over the changelog's text: the section of a version, whether it is ready,
 * and its text for the release page. `release.ts` reads the files and calls git.
 */
import { isVersion, VERSION_FORM } from "../gen/gen_version.ts";

/** One section `## VERSION (NOTE)` of the changelog. */
export interface Section {
  /** The text in brackets after the version: a date, or "not yet released". */
  readonly note: string;
  /** The text below the heading, without blank lines around it. */
  readonly text: string;
}

/** The version in the name of a tag. Throws an Error that gives the form of a tag. */
export function versionOfTag(tag: string): string {
  const version = tag.replace(/^v/, "");
  if (tag.startsWith("v") && isVersion(version)) return version;
  throw new Error(`"${tag}" is no tag of a release: it must be v and then ${VERSION_FORM}`);
}

const heading = /^## (\S+) \((.*)\)$/;

/** The section of a version; undefined when there is none. */
export function sectionOf(changelog: string, version: string): Section | undefined {
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
export function changelogProblem(changelog: string, version: string): string | undefined {
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
export function withSection(changelog: string, version: string): string {
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
export function releaseText(section: Section, base?: string): string {
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
export function assertDigest(name: string, digest: string): void {
  if (/^sha256:[0-9a-f]{64}$/.test(digest)) return;
  throw new Error(
    `the digest of ${name} is "${digest.slice(0, 80)}"; expected sha256: and 64 digits`,
  );
}

/** The file with the digests of its images. Throws an Error if it names none of them. */
export function withDigests(
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
