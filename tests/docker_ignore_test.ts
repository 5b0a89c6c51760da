/**
 * `.dockerignore` keeps everything that the Dockerfiles copy, by the module that BuildKit uses. A rule of
 * `tasks/deploy` checks that the imports of a program are copied; no image is built here.
 */
import assert from "node:assert/strict";
import { must } from "../tasks/checkout/programs.ts";
import { isTestCode, listFiles, ROOT } from "../tasks/checkout/source_files.ts";
import { ensureGoProgram } from "./harness/go_program.ts";
import { atEnd } from "../shared/testing/at_end.ts";

const MATCHER = {
  name: "arqon_docker_ignore",
  version: "patternmatcher-0.6.1",
  source: { folder: "tests/docker_ignore" },
};
const SOURCE_FILES = await listFiles([""]);

/** The paths of the checkout that a Dockerfile copies, without those of other stages. */
function copySources(dockerfile: string): string[] {
  const lines = dockerfile.replaceAll("\\\n", " ").matchAll(/^(?:COPY|ADD) (.*)$/gm);
  return [...lines].flatMap(([, text = ""]) => {
    const words = text.trim().split(/\s+/);
    if (words.some((word) => word.startsWith("--from="))) return [];
    return words.filter((word) => !word.startsWith("--")).slice(0, -1);
  });
}

/** The files of a source: one file, those of a pattern, or those of a folder. */
function filesOf(source: string): string[] {
  const path = source.replace(/\/$/, "").replaceAll(".", "\\.").replaceAll("*", "[^/]*");
  const form = new RegExp(`^${path}(/|$)`);
  return SOURCE_FILES.filter((file) => form.test(file));
}

/** The files that `.dockerignore` hides. */
async function hidden(ignore_file: string, files: readonly string[]): Promise<Set<string>> {
  const program = await ensureGoProgram(MATCHER);
  const { stdout } = await must(program, [ignore_file], { stdin: files.join("\n") });
  return new Set(stdout.split("\n"));
}

/** Hidden files that a Dockerfile copies. In folders, tests and pages may be hidden. */
async function problems(ignore_file: string): Promise<string[]> {
  const left_out = await hidden(ignore_file, SOURCE_FILES);
  const dockerfiles = await listFiles(["Dockerfile"]);
  const found = await Promise.all(dockerfiles.map(async (name) => {
    const text = await Deno.readTextFile(`${ROOT}${name}`);
    return copySources(text).flatMap((source) => {
      const files = filesOf(source);
      if (files.length === 0) return [`${name}: ${source} is not there`];
      const needed = (path: string) =>
        path === source || !(isTestCode(path) || /^proto\/testing\/|\.md$/.test(path));
      return files.filter((path) => needed(path) && left_out.has(path))
        .map((path) => `${name}: COPY ${source} lacks ${path}`);
    });
  }));
  return found.flat();
}

Deno.test("every file that a Dockerfile copies passes .dockerignore", async () => {
  assert.deepEqual(await problems(`${ROOT}.dockerignore`), []);
});

Deno.test("a source that .dockerignore hides is named", async () => {
  const file = await Deno.makeTempFile({ prefix: "arqon-ignore-" });
  await using _end = atEnd(() => Deno.remove(file));
  const text = await Deno.readTextFile(`${ROOT}.dockerignore`);
  await Deno.writeTextFile(file, `${text}arq/main.ts\nLICENSE\n`);
  const found = (await problems(file)).join("\n");
  assert.match(found, /arq\.Dockerfile: COPY arq\/ lacks arq\/main\.ts/);
  assert.match(found, /shield\.Dockerfile: COPY LICENSE lacks LICENSE/);
});
