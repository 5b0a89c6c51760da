/**
 * The files of the compose stack that comes with `arq` without a checkout: compose.yaml and everything that it mounts.
 * Published images replace those that a checkout builds. Texts only; `commands/dev/dev_up.ts` writes them.
 */
import compose from "../../compose.yaml" with { type: "text" };
import brain from "../../deploy/compose/brain.toml" with { type: "text" };
import sources from "../../deploy/compose/grafana_sources.yml" with { type: "text" };
import prometheus from "../../deploy/compose/prometheus.yml" with { type: "text" };
import shield from "../../deploy/compose/shield.toml" with { type: "text" };
// Below node_modules Deno accepts files of this kind only as JSON.
import overview from "../../deploy/grafana/dashboards/arqonbus-overview.json" with { type: "json" };
import stores from "../../deploy/grafana/dashboards/arqonbus-stores.json" with { type: "json" };
import provider from "../../deploy/grafana/provisioning/dashboards/arqonbus.yml" with {
  type: "text",
};
import nats from "../../deploy/nats/nats.conf" with { type: "text" };
import alerts from "../../deploy/prometheus/alerts.yml" with { type: "text" };
import rules from "../../deploy/prometheus/rules.yml" with { type: "text" };
import store_alerts from "../../deploy/prometheus/store_alerts.yml" with { type: "text" };

/** Name of the compose file in the stack's folder. */
export const STACK_FILE = "compose.yaml";

/** A compose file that pulls its images, in the version of this `arq`, and builds none. */
export function pulledCompose(text: string, version: string): string {
  const lines: string[] = [];
  let is_build = false;
  for (const line of text.split("\n")) {
    const indent = line.search(/\S/);
    // Lines below `build:` are indented further.
    is_build = indent === 4 ? /^ {4}build:/.test(line) : is_build && indent > 4;
    if (!is_build && !/^ {4}pull_policy: build$/.test(line)) lines.push(line);
  }
  return lines.join("\n").replaceAll("${ARQON_VERSION:-dev}", `\${ARQON_VERSION:-${version}}`);
}

const jsonText = (value: unknown) => `${JSON.stringify(value, undefined, 2)}\n`;

/** The texts of all files in the stack's folder, by path below it. */
export function stackFiles(version: string): ReadonlyMap<string, string> {
  return new Map([
    [STACK_FILE, pulledCompose(compose, version)],
    ["deploy/compose/brain.toml", brain],
    ["deploy/compose/grafana_sources.yml", sources],
    ["deploy/compose/prometheus.yml", prometheus],
    ["deploy/compose/shield.toml", shield],
    ["deploy/grafana/dashboards/arqonbus-overview.json", jsonText(overview)],
    ["deploy/grafana/dashboards/arqonbus-stores.json", jsonText(stores)],
    ["deploy/grafana/provisioning/dashboards/arqonbus.yml", provider],
    ["deploy/nats/nats.conf", nats],
    ["deploy/prometheus/alerts.yml", alerts],
    ["deploy/prometheus/rules.yml", rules],
    ["deploy/prometheus/store_alerts.yml", store_alerts],
  ]);
}
