/** The logs' servers, killed and frozen: two Shields on NATS, or one embedded bus with its data on a disk. */
import { pace } from "../../shared/testing/pace.ts";
import { natsNames } from "../faults/fault.ts";
import type { Blow, ServerCount } from "../faults/fault.ts";
import { Fleet } from "../faults/fleet.ts";
import { freePort } from "../harness/free_ports.ts";
import { initFolder, startServe, tokenOf } from "../harness/serve_bus.ts";
import { copyFolder } from "../restore/restore_world.ts";
import type { Served } from "./served.ts";

/** What serves. */
export interface FaultWorld extends AsyncDisposable {
  readonly tenant: string;
  /** For processes that return without a restart. */
  readonly front: Served & { readonly url: string };
  /** Where requests go, each in turn. */
  readonly places: readonly Served[];
  /** What can be hurt; of each group one at a time. */
  readonly groups: readonly (readonly string[])[];
  /** Resolves when its target is up again. */
  hurt(blow: Blow): Promise<void>;
  /** Puts an older copy of the data back, which is a fork; absent: it cannot. */
  readonly rewind?: (work: () => Promise<void>) => Promise<void>;
  /** What processes have logged, and which ended without a kill. */
  logs(): Promise<string>;
}

const SHIELDS = ["shield-0", "shield-1"];

/** Two Shields and a Brain; logs of what was killed are in the folder. */
export async function onNats(
  servers: ServerCount,
  config: string,
  dir: string,
): Promise<FaultWorld> {
  const ports = new Map(SHIELDS.map((name) => [name, freePort()]));
  const surprises: string[] = [];
  const fleet = await Fleet.open({
    brains: ["brain-0"],
    shields: SHIELDS,
    balancers: ["balancer-0"],
    servers,
    proxied: true,
    config,
    server_lines: "drain_ms = 0\n",
    dir,
    say: () => {},
    ownOf: (name) => ports.has(name) ? { port: ports.get(name)! } : {},
    groupOf: (target) => target,
    onSurprise: (text) => void surprises.push(text),
  });
  await fleet.start();
  const token = await fleet.issuer.tokenFor({ role: "service" });
  const at = (host: string) => ({ http_url: `http://${host}`, token });
  const [host = ""] = fleet.hosts;
  return {
    tenant: "acme",
    groups: [SHIELDS, natsNames(servers)],
    front: { ...at(host), url: `ws://${host}/v1/socket` },
    places: [...ports.values()].map((port) => at(`127.0.0.1:${port}`)),
    hurt: (blow) => fleet.hurt(blow),
    async logs() {
      const texts = [...surprises, ...SHIELDS.map((name) => fleet.log(name))];
      for await (const { name } of Deno.readDir(dir)) {
        if (name.startsWith("shield-") && name.endsWith(".log")) {
          texts.push(await Deno.readTextFile(`${dir}/${name}`));
        }
      }
      return texts.join("\n");
    },
    [Symbol.asyncDispose]: () => fleet[Symbol.asyncDispose](),
  };
}

/** `arq serve` as a process. */
export async function embedded(config: string): Promise<FaultWorld> {
  await using owned = new AsyncDisposableStack();
  const port = freePort();
  const { path } = owned.use(await initFolder(config, port));
  let bus = await startServe(path);
  owned.defer(async () => void await bus.stop("SIGKILL"));
  let past = "";
  const again = async (away_ms: number, meanwhile = () => Promise.resolve()) => {
    await bus.stop("SIGKILL");
    past += bus.log();
    await meanwhile();
    await pace(away_ms);
    bus = await startServe(path);
  };
  const token = await tokenOf(path, "service");
  const host = `127.0.0.1:${port}`;
  const place = { http_url: `http://${host}`, token };
  const data = `${path}/data`;
  const ending = owned.move();
  return {
    tenant: "default",
    groups: [["bus"]],
    places: [place],
    front: { ...place, url: `ws://${host}/v1/socket` },
    async hurt({ kind, away_ms }) {
      if (kind === "kill") return await again(away_ms);
      bus.signal("SIGSTOP");
      await pace(away_ms);
      bus.signal("SIGCONT");
    },
    async rewind(work) {
      await again(0, () => copyFolder(data, `${data}-older`));
      await work();
      await again(0, async () => {
        await Deno.remove(data, { recursive: true });
        await Deno.rename(`${data}-older`, data);
      });
    },
    logs: () => Promise.resolve(past + bus.log()),
    [Symbol.asyncDispose]: () => ending.disposeAsync(),
  };
}
