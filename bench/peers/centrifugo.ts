/**
 * Centrifugo in its own Go build with the Protobuf protocol. Anonymous clients may subscribe and publish, and channels
 * keep neither history nor presence. A client may have 64 MiB pending, as in NATS, and one channel for each room of a
 * scenario.
 */
import { type Target, TargetUnavailable } from "../load/targets/target.ts";
import { PLAIN_ABILITIES, TLS_FILES } from "../load/targets/target_bare.ts";
import { installed, lastLine, run } from "../../tasks/checkout/programs.ts";
import { freePort } from "../../tests/harness/free_ports.ts";
import { startPeer } from "./server_process.ts";

const VERSION = "6.9.1";
const MODULE = "github.com/centrifugal/centrifugo/v6";
// A manual build does not know its own version.
const LINK = ["-ldflags", `-X ${MODULE}/internal/build.Version=${VERSION}`];
const HINT =
  "put centrifugo 6 on the PATH (https://centrifugal.dev/docs/getting-started/installation), " +
  "a release or your own `go build` of its source";

/**
 * Builds Centrifugo in `folder` from its module, which Go downloads: `go install` would also read the list of versions,
 * which not every module proxy provides. Resolves with the program's path.
 */
async function build(folder: string): Promise<string> {
  const refused = (why: string) =>
    new TargetUnavailable(`Centrifugo does not build here (${why}): ${HINT}`);
  const got = await run("go", ["mod", "download", "-json", `${MODULE}@v${VERSION}`]);
  if (got === undefined) throw new TargetUnavailable(`no Centrifugo, and no Go: ${HINT}`);
  const [, key, text = ""] = /"(Dir|Error)": ("(?:[^"\\]|\\.)*")/.exec(got.text) ?? [];
  if (key !== "Dir") {
    const why = text === "" ? got.text : JSON.parse(text);
    throw refused(`go mod download: ${lastLine(why)}`);
  }
  const program = `${folder}/centrifugo`;
  const built = await run("go", ["-C", JSON.parse(text), "build", ...LINK, "-o", program, "."]);
  if (built?.ok !== true) throw refused(`go build: ${lastLine(built?.text ?? "")}`);
  return program;
}

async function ensureCentrifugo(): Promise<string> {
  if ((await run("centrifugo", ["version"]))?.text.startsWith("Centrifugo v6")) return "centrifugo";
  return await installed(`centrifugo-${VERSION}`, build);
}

function configOf(port: number, tls: boolean) {
  const security = { enabled: true, cert_pem: TLS_FILES.cert, key_pem: TLS_FILES.key };
  return {
    http_server: { address: "127.0.0.1", port, ...(tls ? { tls: security } : {}) },
    client: {
      allow_anonymous_connect_without_token: true,
      channel_limit: 1_000_000,
      queue_max_size: 64 * 1_048_576,
    },
    channel: {
      without_namespace: {
        allow_subscribe_for_client: true,
        allow_subscribe_for_anonymous: true,
        allow_publish_for_client: true,
        allow_publish_for_anonymous: true,
      },
    },
    usage_stats: { disabled: true },
  };
}

/** Waits until Centrifugo listens, which is shortly after it reports that it serves. */
async function untilItListens(port: number): Promise<void> {
  for (const deadline_ms = Date.now() + 30_000;;) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return;
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionRefused) || Date.now() > deadline_ms) {
        throw error;
      }
    }
  }
}

/** The target Centrifugo. */
export const CENTRIFUGO: Target = {
  id: "centrifugo",
  title: "Centrifugo",
  abilities: PLAIN_ABILITIES,
  async start({ tls }) {
    const program = await ensureCentrifugo();
    const version = (await run(program, ["version"]))?.text.match(/v(\S+)/)?.[1] ?? "unknown";
    const port = freePort();
    return await startPeer("centrifugo", tls, async (folder) => {
      const config = await folder.write("config.json", JSON.stringify(configOf(port, tls)));
      const ready = (log: string) => /serving .*websocket/.test(log) || undefined;
      return { program, args: ["--config", config], ready };
    }, async () => {
      await untilItListens(port);
      const url = `${tls ? "wss" : "ws"}://127.0.0.1:${port}/connection/websocket`;
      return { version: `centrifugo ${version}`, url };
    });
  },
};
