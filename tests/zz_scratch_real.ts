import { parseConfig } from "../shared/config/load.ts";
import { fromCentrifugo } from "../arq/init/centrifugo.ts";
import { initConfig } from "../arq/init/templates.ts";
for await (const { name } of Deno.readDir("/tmp/cfapi/real")) {
  const from = fromCentrifugo(JSON.parse(await Deno.readTextFile(`/tmp/cfapi/real/${name}`)), "arqon");
  parseConfig(initConfig({ port: 4000, ops_port: 4001, admin_port: 4002 }, "arq", from.origins) + from.toml, { file: "config.toml" });
  console.log(name, "carried", from.carried.length, "left", from.left.map(([k, w]) => `\n   ${k}: ${w}`).join(""));
}
