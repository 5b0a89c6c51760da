/**
 * The scripts of the release's workflows, executed unchanged, as on a runner; a program that only records its arguments
 * replaces the uploads. Not tested here: the actions (`uses:`), the registries' trust, images for two CPUs, the other
 * systems.
 */
import assert from "node:assert/strict";
import { parse } from "yaml";
import { ROOT } from "../checkout/source_files.ts";
import { MEMBERS } from "../pack/pack.ts";

interface Step {
  readonly run?: string;
  readonly uses?: string;
  readonly with?: Readonly<Record<string, string>>;
}
interface Job {
  readonly needs?: string | readonly string[];
  readonly uses?: string;
  readonly environment?: string;
  readonly permissions: Readonly<Record<string, string>>;
  readonly steps?: readonly Step[];
}
type Jobs = Readonly<Record<string, Job>>;

async function jobsOf(name: string): Promise<Jobs> {
  return parse(await Deno.readTextFile(`${ROOT}.github/workflows/${name}.yml`)).jobs;
}
const JOBS = await jobsOf("release");
const IMAGES = await jobsOf("images");
const TARGET = "x86_64-unknown-linux-gnu";
const NOTING = `#!/bin/sh\necho "$(basename "$0") $*" >> "$CALLS"\n`;
/** Answers as npm's registry: the versions in the file of that name are published. */
const NPM = `${NOTING}[ "$1" != view ] || cat "$CALLS-there/\${2%@*}" 2> /dev/null\n`;

/** A runner's folder whose upload programs only record their arguments. */
class Runner implements AsyncDisposable {
  private constructor(readonly root: string, readonly tag: string) {}

  static async start(tag: string): Promise<Runner> {
    const runner = new Runner(await Deno.makeTempDir({ prefix: "arqon-runner-" }), tag);
    for (const name of ["gh", "npm", "helm", "pipx", "7z"]) {
      await runner.write(`bin/${name}`, name === "npm" ? NPM : NOTING);
      await Deno.chmod(`${runner.root}/bin/${name}`, 0o755);
    }
    return runner;
  }

  async write(path: string, text: string): Promise<void> {
    const file = `${this.root}/${path}`;
    await Deno.mkdir(file.slice(0, file.lastIndexOf("/")), { recursive: true });
    await Deno.writeTextFile(file, text);
  }

  /** Runs a script; its uploads, one line per call. */
  async run(script: string, env: Readonly<Record<string, string>> = {}): Promise<string[]> {
    await this.write("calls", "");
    const { code, stdout, stderr } = await new Deno.Command("bash", {
      args: ["--noprofile", "--norc", "-eo", "pipefail", "-c", script],
      cwd: this.root,
      clearEnv: true,
      env: {
        PATH: `${this.root}/bin:/usr/bin:/bin`,
        CALLS: `${this.root}/calls`,
        GITHUB_REF_NAME: this.tag,
        RUNNER_OS: "Linux",
        TARGET,
        ...env,
      },
    }).output();
    const text = new TextDecoder();
    assert.equal(code, 0, text.decode(stdout) + text.decode(stderr));
    return (await Deno.readTextFile(`${this.root}/calls`)).trim().split("\n");
  }

  /** Runs the step of a job that contains this text. */
  step(job: Job | undefined, words: string, env?: Readonly<Record<string, string>>) {
    const found = job?.steps?.filter(({ run }) => run?.includes(words)) ?? [];
    assert.equal(found.length, 1, words);
    return this.run(found[0]!.run!, env);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.root, { recursive: true });
  }
}

/** Each package after its dependencies; in the first run none is published, in the second two are, then all. */
async function publishes(
  runner: Runner,
  names: readonly string[],
  files: readonly string[],
  npm_tag: string,
): Promise<void> {
  const version = runner.tag.slice(1);
  for (const there of [0, 2, names.length]) {
    for (const at of names.slice(0, there).keys()) {
      await runner.write(`calls-there/${names[at]}`, `${await integrity(files[at]!)}\n`);
    }
    const calls = files.flatMap((file, at) => [
      `npm view ${names[at]}@${version} dist.integrity`,
      ...(at < there
        ? []
        : [`npm publish ./npm/${file} --provenance --access public --tag ${npm_tag}`]),
    ]);
    assert.deepEqual(await runner.step(JOBS.npm, "npm publish"), calls);
  }
  await runner.write(`calls-there/${names[1]}`, "sha512-another\n");
  await assert.rejects(
    runner.step(JOBS.npm, "npm publish"),
    new RegExp(`npm has ${names[1]}@${version.replaceAll(".", "\\.")} with other bytes`),
  );
}

for (
  const [tag, release, npm_tag] of [["v1.2.3", "--latest", "latest"], [
    "v1.2.3-rc.1",
    "--prerelease",
    "next",
  ]] as const
) {
  Deno.test(`the scripts of release ${tag} pack, sign and upload the expected files`, async () => {
    await using runner = await Runner.start(tag);
    const version = tag.slice(1);
    for (const path of ["LICENSE", "NOTICE", `dist/bin/${TARGET}/arq`]) {
      await runner.write(path, path);
    }
    await runner.step(JOBS.binaries, "tar -czf");
    const packed = `arqon-${version}-${TARGET}`;
    assert.deepEqual(
      await runner.step(JOBS.binaries, "7z a", { RUNNER_OS: "Windows" }),
      [`7z a packed/${packed}.zip ${packed}`],
    );
    const packages = MEMBERS.map((path) =>
      JSON.parse(Deno.readTextFileSync(`${ROOT}${path}/deno.json`)).name
    );
    const files = [...packages, "arqon"].map((name) =>
      `${name.slice(name.indexOf("@") + 1).replace("/", "-")}-${version}.tgz`
    );
    for (const name of files) await runner.write(`npm/${name}`, name);
    await runner.run(`mkdir files && mv packed/${packed}.tar.gz files && cp npm/*.tgz files`);
    await runner.step(JOBS.github, "sha256sum");
    await runner.run(
      `cd files && sha256sum --check --strict SHA256SUMS && tar -tzf ${packed}.tar.gz ${packed}/arq ${packed}/LICENSE`,
    );
    const [created = "", ...others] = await runner.step(JOBS.github, "gh release create");
    assert.ok(
      created.startsWith(
        `gh release create ${tag} --verify-tag ${release} --title ArqonBus ${version} `,
      ),
      created,
    );
    assert.deepEqual(
      created.split(" --notes-file notes.md ")[1]?.split(" ").sort(),
      ["SHA256SUMS", `${packed}.tar.gz`, ...files].map((name) => `files/${name}`).sort(),
    );
    assert.deepEqual(others, []);
    await publishes(runner, [...packages, "arqon"], files, npm_tag);
    await runner.step(IMAGES.image, "mkdir digests", { DIGEST: "sha256:1", IMAGE: "arqon" });
    assert.equal(await Deno.readTextFile(`${runner.root}/digests/arqon`), "sha256:1\n");
    assert.deepEqual(
      await runner.step(JOBS.chart, "helm push", { TOKEN: "t", GITHUB_ACTOR: "a" }),
      [
        "helm registry login ghcr.io --username a --password-stdin",
        `helm push dist/chart/arqonbus-${version}.tgz oci://ghcr.io/novelbytelabs/charts`,
      ],
    );
    await runner.write("deploy/kubernetes/shield.yaml", "with digests");
    await runner.run("mkdir -p dist");
    const set = `dist/arqonbus-kubernetes-${version}.tar.gz`;
    assert.deepEqual(await runner.step(JOBS.chart, "gh release upload"), [
      `gh release upload ${tag} ${set}`,
    ]);
    await runner.run(`tar -tzf ${set} kubernetes/shield.yaml`);
  });
}

/** The integrity of a file with this text, as npm writes it. */
async function integrity(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-512", new TextEncoder().encode(text));
  return `sha512-${new Uint8Array(digest).toBase64()}`;
}

const needsOf = (job: Job | undefined): readonly string[] => [job?.needs ?? []].flat();
function reached(name: string): Set<string> {
  return new Set(needsOf(JOBS[name]).flatMap((one) => [one, ...reached(one)]));
}

Deno.test("a job of the release that publishes follows all jobs that build and run", () => {
  const publishing = Object.entries(JOBS).filter(([, { permissions, environment }]) =>
    environment !== undefined || Object.values(permissions).includes("write")
  ).map(([name]) => name);
  assert.deepEqual(publishing.sort(), ["chart", "github", "images", "jsr", "npm", "pypi"]);
  for (const name of publishing) {
    const missing = ["check", "ci", "binaries", "packages", "wheel", "npx"].filter((one) =>
      !reached(name).has(one)
    );
    assert.deepEqual(missing, [], name);
  }
});

Deno.test("an earlier job of the release uploads every file that a job downloads", () => {
  const uploads = (jobs: readonly (Job | undefined)[]) =>
    jobs.flatMap((job) => job?.steps ?? []).filter(({ uses }) =>
      uses?.includes("/upload-artifact@")
    )
      .map((step) => step.with?.name?.replace(/\$\{\{.*?\}\}/, "x") ?? "");
  for (const [name, { steps = [] }] of Object.entries(JOBS)) {
    const before = [...reached(name)].map((one) => JOBS[one]!);
    const there = uploads([
      ...before,
      ...before.some(({ uses }) => uses?.includes("images")) ? [IMAGES.image] : [],
    ]);
    for (const { uses, with: given = {} } of steps) {
      if (!uses?.includes("/download-artifact@")) continue;
      const wanted = given.name ?? given.pattern ?? "";
      for (const one of wanted.replace(/[{}]/g, "").split(",")) {
        const pattern = new RegExp(`^${one.replace("*", ".+")}$`);
        assert.ok(there.some((upload) => pattern.test(upload)), `${name}: nothing uploads ${one}`);
      }
    }
  }
});
