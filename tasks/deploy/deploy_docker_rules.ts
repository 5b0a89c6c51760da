/**
 * Our own rules for Dockerfiles, as pure functions over their text: they match deno.json and need no special
 * privileges. hadolint checks their form (`deploy_validate.ts`).
 */
import { BUNDLE_ARGS, REPLAY_WORKER } from "../../shield/admin/console/replay_bundle.ts";

const BUNDLES = `deno ${BUNDLE_ARGS.join(" ")} --output=${REPLAY_WORKER}`;

/** The parts of deno.json that the images must match. */
interface DenoJson {
  readonly workspace: readonly string[];
  readonly tasks: Readonly<Record<string, string>>;
}

/** Flags that change how a program runs, except the permissions, which differ between images. */
function flagsOf(command: string): string[] {
  return command.match(/--(?:v8-flags=\S+|unstable-[\w-]+|ignore-env|no-prompt)/g) ?? [];
}

/** The command of the `ENTRYPOINT` in one line. */
function entryOf(text: string): string {
  const [, list = "[]"] = /^ENTRYPOINT (\[(?:[^\]]|\\\n)*\])/m.exec(text) ?? [];
  return (JSON.parse(list.replaceAll("\\\n", "")) as string[]).join(" ");
}

/** The modules among `files` that `deno cache` and `deno bundle` receive. Their patterns are expanded as in a shell. */
export function cachedModules(text: string, files: readonly string[]): string[] {
  const commands = text.match(/\bdeno (?:cache|bundle) (?:\\\n|[^&\n])*/g) ?? [];
  const patterns = commands.join(" ").match(/\S+\.ts\b/g) ?? [];
  return patterns.flatMap((pattern) => {
    const one = new RegExp(`^${pattern.replaceAll(".", "\\.").replaceAll("*", "[^/]*")}$`);
    return files.filter((file) => one.test(file));
  });
}

/** Our modules that a program needs and its Dockerfile does not copy. */
export function modulesNotCopied(part: string, text: string, modules: readonly string[]): string[] {
  const copied = [...text.matchAll(/^COPY ((?:[\w./*-]+ )+)[\w./-]+$/gm)].flatMap((
    [, paths = ""],
  ) => paths.trim().split(" "));
  const isCopied = (path: string) =>
    copied.some((given) =>
      given.endsWith("/*.ts")
        ? path.startsWith(given.slice(0, -4))
        : path === given || path.startsWith(given.replace(/\/?$/, "/"))
    );
  return modules.filter((path) => !isCopied(path)).map((path) =>
    `deploy/docker/${part}.Dockerfile: expected ${path} to be copied: the program imports it`
  );
}

/** The problems of a part's Dockerfile (`shield`, `brain`, `arq`). `deno_version` is CI's version. */
export function dockerfileProblems(
  part: string,
  text: string,
  { workspace, tasks }: DenoJson,
  deno_version: string,
): string[] {
  const entry = entryOf(text);
  const copied = (folder: string) =>
    text.includes(`COPY ${folder}/ ${folder}/`) || text.includes(`COPY ${folder}/deno.json`);
  const missing = workspace.map((path) => path.replace("./", "")).filter((path) => !copied(path));
  const found = [
    ...missing.map((path) => `expected COPY ${path}/deno.json: it is a member of the workspace`),
    ...flagsOf(tasks[part] ?? "").filter((flag) => !flagsOf(entry).includes(flag)).map((flag) =>
      `expected ${flag} in ENTRYPOINT, as deno task ${part} has it`
    ),
    ...(text.includes(`ARG DENO_VERSION=${deno_version}\n`)
      ? []
      : [`expected DENO_VERSION=${deno_version}, which .ci/run tests with`]),
    ...(/^USER \d+:\d+$/m.test(text) && !/^USER 0/m.test(text) ? [] : ["expected a numeric USER"]),
    ...(/--allow-all|(^| )-A( |$)/.test(entry) ? ["expected narrow permissions"] : []),
    ...(entry.includes("--cached-only") ? [] : ["expected --cached-only in ENTRYPOINT"]),
    ...(part === "arq" || /^HEALTHCHECK /m.test(text) ? [] : ["expected a HEALTHCHECK"]),
    ...(part === "brain" || text.replaceAll(/\s*\\\n\s*/g, " ").includes(BUNDLES)
      ? []
      : [`expected ${BUNDLES}: the console's thread for replays`]),
  ];
  return found.map((what) => `deploy/docker/${part}.Dockerfile: ${what}`);
}
