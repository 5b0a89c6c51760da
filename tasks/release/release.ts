/**
 * `deno task release`: the command of a person before a tag (`set`), and of the pipeline after it (`check`, `notes`).
 * It creates no tag and publishes nothing; .github/workflows/release.yml does.
 */
import {
  isVersion,
  readVersion,
  ROOT_MANIFEST,
  VERSION_FORM,
  withVersion,
} from "../gen/gen_version.ts";
import {
  assertDigest,
  changelogProblem,
  DIGEST_FILES,
  releaseText,
  sectionOf,
  versionOfTag,
  withDigests,
  withSection,
} from "./release_rules.ts";
import { run } from "../checkout/programs.ts";
import { ROOT } from "../checkout/source_files.ts";

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
