/**
 * `deno task gen`: makes every generated file anew. `--check` writes nothing and fails when a
 * committed file differs from what would be generated.
 */
import { stateJsonSchema } from "../../arq/desired/form.ts";
import { configParts, renderConfigSchema } from "./gen_config.ts";
import { renderDashboard, renderStoresDashboard } from "./gen_dashboard.ts";
import { errorsParts, renderErrorsPython, renderErrorsTypescript } from "./gen_errors.ts";
import type { Registry } from "./gen_errors.ts";
import { withParts } from "./gen_pages.ts";
import { renderSdksMarkdown } from "./gen_sdks.ts";
import { renderShownFiles } from "./gen_shown_files.ts";
import { renderInitBinaries } from "./gen_init.ts";
import { renderNatsAccounts } from "./gen_nats_accounts.ts";
import { licensedPackages, noticeText } from "./gen_notice.ts";
import { websocketParts } from "./gen_websocket.ts";
import { readVersion, renderVersionModule, versionedFiles, withVersion } from "./gen_version.ts";
import { deno } from "../checkout/programs.ts";
import { listFiles, ROOT } from "../checkout/source_files.ts";

/** Runs buf over `proto/`. Returns the text of each file by its path below the root. */
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
    await deno(
      ["run", "-A", "@bufbuild/buf", "generate", "--template", JSON.stringify(template)],
      { cwd: `${ROOT}proto` },
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

/** The files that carry the version, with the present version in them. */
async function versionFiles(): Promise<Map<string, string>> {
  const manifest = await Deno.readTextFile(`${ROOT}deno.json`);
  const version = readVersion(manifest);
  const files = new Map([["shared/version.ts", renderVersionModule(version)]]);
  for (const file of versionedFiles(manifest)) {
    const text = await Deno.readTextFile(ROOT + file.path);
    files.set(file.path, withVersion(file, text, version));
  }
  return files;
}

/** Files of the chart that deploy/kubernetes has, too: Helm reads none outside of a chart. */
async function plainConfigs(): Promise<Map<string, string>> {
  const names = ["shield", "brain", "backup", "restore", "standby"].map((part) => `${part}.toml`);
  const texts = [...names, "nats.conf"].map(async (name): Promise<[string, string]> => [
    `deploy/kubernetes/${name}`,
    await Deno.readTextFile(`${ROOT}deploy/helm/arqonbus/files/${name}`),
  ]);
  return new Map(await Promise.all(texts));
}

/** A page, with the present text of its generated parts. */
async function page(path: string, parts: Record<string, string>): Promise<[string, string]> {
  return [path, withParts(await Deno.readTextFile(ROOT + path), parts)];
}

async function generate(): Promise<Map<string, string>> {
  const registry: Registry = JSON.parse(await Deno.readTextFile(`${ROOT}proto/errors.json`));
  const nats_accounts = renderNatsAccounts(await Deno.readTextFile(`${ROOT}docs/run_nats.md`));
  return new Map([
    ...await versionFiles(),
    ...await protobufFiles(),
    ["proto/gen/errors.ts", renderErrorsTypescript(registry)],
    ["sdk/python/src/arqon/errors_gen.py", renderErrorsPython(registry)],
    await page("docs/errors.md", errorsParts(registry)),
    ["arq/init/binaries.ts", await renderInitBinaries()],
    ["docs/config.schema.json", renderConfigSchema()],
    ["docs/state.schema.json", JSON.stringify(stateJsonSchema(), null, 2) + "\n"],
    ["deploy/grafana/dashboards/arqonbus-overview.json", renderDashboard()],
    ["deploy/grafana/dashboards/arqonbus-stores.json", renderStoresDashboard()],
    await page("docs/configuration.md", configParts()),
    ["deploy/helm/arqonbus/files/nats_accounts.conf", nats_accounts],
    ["deploy/kubernetes/nats_accounts.conf", nats_accounts],
    ...await plainConfigs(),
    await page("docs/websocket.md", websocketParts()),
    ["docs/sdks.md", await renderSdksMarkdown(ROOT)],
    ...await renderShownFiles(ROOT, await listFiles([".md"])),
    ["NOTICE", noticeText(await licensedPackages(ROOT))],
  ]);
}

const check = Deno.args.includes("--check");
const stale: string[] = [];
for (const [path, text] of await generate()) {
  const current = await Deno.readTextFile(ROOT + path).catch(() => "");
  if (current === text) continue;
  stale.push(path);
  if (check) continue;
  await Deno.mkdir((ROOT + path).replace(/\/[^/]*$/, ""), { recursive: true });
  await Deno.writeTextFile(ROOT + path, text);
}
if (stale.length > 0) console.error(`${check ? "stale" : "written"}: ${stale.join(", ")}`);
if (check && stale.length > 0) {
  console.error("run `deno task gen` and commit the result");
  Deno.exit(1);
}
