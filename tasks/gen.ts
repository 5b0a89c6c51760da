/**
 * `deno task gen`: makes every generated file anew. `--check` writes nothing and fails when a
 * committed file differs from what would be generated.
 */
import { renderConfigMarkdown, renderConfigSchema } from "./gen_config.ts";
import { renderDashboard } from "./gen_dashboard.ts";
import { renderErrorsMarkdown, renderErrorsPython, renderErrorsTypescript } from "./gen_errors.ts";
import type { Registry } from "./gen_errors.ts";

const root = new URL("../", import.meta.url).pathname;

async function run(args: string[], cwd: string): Promise<void> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd }).output();
  if (code === 0) return;
  const decoder = new TextDecoder();
  throw new Error(
    `deno ${args.join(" ")} failed\n${decoder.decode(stdout)}${decoder.decode(stderr)}`,
  );
}

/** Runs buf over `proto/` and returns path (below the repository root) to text. */
async function protobufFiles(): Promise<Map<string, string>> {
  const out = await Deno.makeTempDir({ prefix: "arqon-gen-" });
  try {
    const template = {
      version: "v2",
      plugins: [{
        local: [Deno.execPath(), "run", "-A", "@bufbuild/protoc-gen-es"],
        out,
        opt: ["target=ts", "import_extension=ts"],
      }],
    };
    await run(
      ["run", "-A", "@bufbuild/buf", "generate", "--template", JSON.stringify(template)],
      `${root}proto`,
    );
    const files = new Map<string, string>();
    for (const name of ["envelope", "control", "presence", "replication", "history"]) {
      const text = await Deno.readTextFile(`${out}/arqon/v1/${name}_pb.ts`);
      files.set(`proto/gen/arqon/v1/${name}_pb.ts`, text);
    }
    return files;
  } finally {
    await Deno.remove(out, { recursive: true });
  }
}

async function generate(): Promise<Map<string, string>> {
  const registry: Registry = JSON.parse(await Deno.readTextFile(`${root}proto/errors.json`));
  return new Map([
    ...await protobufFiles(),
    ["proto/gen/errors.ts", renderErrorsTypescript(registry)],
    ["sdk/python/src/arqon/errors_gen.py", renderErrorsPython(registry)],
    ["docs/errors.md", renderErrorsMarkdown(registry)],
    ["docs/config.schema.json", renderConfigSchema()],
    ["deploy/grafana/dashboards/arqonbus-overview.json", renderDashboard()],
    ["docs/configuration.md", renderConfigMarkdown()],
  ]);
}

const check = Deno.args.includes("--check");
const stale: string[] = [];
for (const [path, text] of await generate()) {
  const current = await Deno.readTextFile(root + path).catch(() => "");
  if (current === text) continue;
  stale.push(path);
  if (check) continue;
  await Deno.mkdir((root + path).replace(/\/[^/]*$/, ""), { recursive: true });
  await Deno.writeTextFile(root + path, text);
}
if (stale.length > 0) console.error(`${check ? "stale" : "written"}: ${stale.join(", ")}`);
if (check && stale.length > 0) {
  console.error("run `deno task gen` and commit the result");
  Deno.exit(1);
}
