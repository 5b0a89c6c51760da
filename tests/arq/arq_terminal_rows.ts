/**
 * How a person and a script use `arq`, every command of it: stories of rows that run in order. Data only;
 * `arq_terminal_test.ts` runs them. Names that exist only once on a bus contain the name of the way.
 */
import { type Step, stopAfter, type Way } from "./arq_terminal.ts";

/** One command line. */
export interface Row {
  /** `last` is the output of the previous row. */
  readonly args: readonly string[] | ((last: string) => readonly string[]);
  /** Exit code; default 0. */
  readonly code?: number;
  readonly steps?: readonly Step[];
  /** Must match the output. */
  readonly shows?: RegExp;
}

/** Rows that build on each other. */
export type Story = readonly Row[];

const row = (line: string, more: Omit<Row, "args"> = {}): Row => ({
  args: line.split(" "),
  ...more,
});

const PORTS = "--port 0 --ops-port 0 --admin-port 0";
const TRACE = "0af7651916cd43dd8448eb211c80319c";

/** Runs before all others: it creates the folder in which they run. */
export const FIRST: Story = [
  row("init --no-context", { shows: /config\.toml/ }),
  row("config check config.toml"),
  row("config explain server.port", { shows: /port/ }),
  row("config schema", { shows: /"\$schema"/ }),
];

const setup = (way: Way): Story => [
  row("context add other --url ws://127.0.0.1:1"),
  row("context list", { shows: /other/ }),
  row(`context use ${way}`),
  row("context show", { shows: new RegExp(way) }),
  row("context remove other"),
  row("backup take none/at-all.arqon", { code: 1 }),
  row("backup verify none.arqon", { code: 1 }),
  row("restore none.arqon", { code: 1 }),
  row("standby sync", { code: 2 }),
  row("standby status", { code: 1 }),
  row("standby promote", { code: 1 }),
  row("auth keys --out more-keys"),
  row("auth gen --role user --ttl 1m", { shows: /eyJ/ }),
  row("auth revoke --user nobody --reason test"),
  row("auth revocations", { shows: /nobody/ }),
  row("audit list", { shows: /nobody|revo/ }),
  row("export state", { shows: /the state of tenant \S+: policies/ }),
  row("plan desired --out plan.bin", { shows: /nothing to do/ }),
  row("apply plan.bin", { shows: /nothing to do/ }),
  row("rollout list", { shows: /no rollouts/ }),
  row("rollout show", { code: 1, shows: /has had no rollout/ }),
  row("rollout pause", { code: 1 }),
  row("rollout resume", { code: 1 }),
  row("rollout abort", { code: 1 }),
  row("journal list", { shows: /lines?/ }),
  row("journal export --out -", { shows: /written to -/ }),
  row("journal erase --user nobody --yes", { shows: /has no records of user nobody/ }),
  row("user export nobody --out -", { shows: /1 line written to -/ }),
  row("user erase nobody --yes", { shows: /nothing to erase/ }),
  row("tenant export nothing --out -", { shows: /0 lines written to -/ }),
  row("tenant delete nothing --dry-run", { shows: /stores nothing of tenant nothing/ }),
  row("room erase nowhere --yes", { shows: /nothing to erase/ }),
  row("journal status", { shows: /the journal of/ }),
  row("audit verify", { shows: /one chain|valid|entries/ }),
  row("completion zsh", { shows: /#compdef arq/ }),
  row("man", { shows: /\.TH ARQ 1/ }),
  row("doctor --config served.toml", { shows: /configuration/ }),
  row(`trace ${TRACE} --jaeger-url http://127.0.0.1:1`, { code: 4, shows: /reach/i }),
];

const rooms: Story = [
  row("room set lobby topic tea"),
  row("room get lobby topic", { shows: /"tea"/ }),
  row("room delete lobby topic"),
  row("room get lobby topic", { code: 1 }),
  row("room lock jobs --ttl 1m"),
  { args: (last) => ["room", "unlock", "jobs", "--fence", /^\d+/m.exec(last)?.[0] ?? ""] },
  row("room members lobby"),
  row("room watch lobby", { steps: stopAfter("Watching"), code: 130 }),
  row("room watch lobby --values", { code: 1, shows: /lobby shows none: no reducer_visible/ }),
  row("room kick lobby mallory"),
  row("room ban lobby mallory --ttl 1m"),
  row("room bans lobby", { shows: /mallory room lobby until/ }),
  row("room list --stored", { shows: /tenant \S+: \d+ rooms?/ }),
  row("room unban lobby mallory"),
  row("room programs", { shows: /has no class of rooms with a reducer/ }),
  row("room rollback lobby", { code: 1, shows: /no class of rooms "lobby" with a reducer/ }),
  row("room deploy lobby module.wasm --dry-run", { code: 1 }),
  row("room verify lobby", { code: 1, shows: /lobby has no reducer/ }),
  row("room at lobby --offset 1", { code: 1, shows: /lobby has no reducer/ }),
  row("room diff lobby --from 1", { code: 1, shows: /lobby has no reducer/ }),
  row("room fork lobby --to again --at 1", { code: 1, shows: /lobby has no reducer/ }),
  row("room trim lobby --yes", { code: 1, shows: /lobby is not a durable room/ }),
  row("room repair lobby --accept-loss", { code: 1, shows: /lobby has no reducer/ }),
  row("room class set stage-* --no-echo"),
  row("room class list", { shows: /stage-\*/ }),
  row("room class explain stage-1"),
  row("room class remove stage-*"),
  row("bridge postgres --sql", { shows: /create schema if not exists arqon/ }),
  row("bridge postgres", { code: 2, shows: /--database/ }),
  row("schedule list", { shows: /no schedules/ }),
  row("schedule add lobby {} --every 1h --id hourly", { shows: /every 1h, waiting/ }),
  row("schedule add lobby {} --cron 99", { code: 1, shows: /cron/ }),
  row("schedule list", { shows: /hourly/ }),
  row("schedule pause hourly", { shows: /paused/ }),
  row("schedule resume hourly", { shows: /waiting/ }),
  row("schedule show hourly", { shows: /published {2}0/ }),
  row("schedule remove hourly"),
  row("schedule show hourly", { code: 1, shows: /has no schedule hourly/ }),
  row("hook list", { shows: /no hooks/ }),
  row("hook add https://127.0.0.1:1/ --id billing --events member.left", { shows: /whsec_/ }),
  row("hook add ftp://x --id other", { code: 1, shows: /https/ }),
  row("hook list", { shows: /billing/ }),
  row("hook pause billing", { shows: /paused/ }),
  row("hook resume billing", { shows: /billing: on/ }),
  row("hook replay billing", { shows: /billing/ }),
  row("hook replay billing --since 1h", { shows: /billing/ }),
  row("hook replay billing --since 1h --from 14:05", { code: 2, shows: /mean the same/ }),
  row("hook test billing", { code: 1, shows: /not a public address/ }),
  row("hook show billing", { shows: /no dead letters/ }),
  row("hook remove billing"),
  row("hook show billing", { code: 1, shows: /has no hook billing/ }),
];

const messages: Story = [
  row("pub kept-1 hello"),
  row("pub kept-1 --ndjson events.ndjson", { shows: /Published 3 messages/ }),
  row("sub kept-1 --from 0 --count 4", { shows: /hello/ }),
  row("sub kept-1 lobby", { steps: stopAfter("Subscribed"), code: 130 }),
  row("room history kept-1", { shows: /hello/ }),
  row("room replay kept-1 --to copy-1", { shows: /4/ }),
  row("tail lobby", { steps: stopAfter("Tailing"), code: 130 }),
  row("why --room kept-1 --offset 1 --user nobody", { shows: /no connection of nobody/ }),
  row("usage show --by room", { shows: /messages in/ }),
  row("config show", { shows: /limits\.connections_per_user = / }),
  // The file of this bus is gone by now.
  row("config reload", { code: 1, shows: /refused, nothing has changed: cannot read/ }),
  row("status", { shows: /ready/ }),
  row("status --watch", { steps: stopAfter("node_id"), code: 130 }),
  row("top --interval 0.2 --count 1", { shows: /shield/ }),
  row("top --interval 0.2", { steps: stopAfter("shield"), code: 130 }),
  row("mirror set vehicles-* 10%"),
  row("mirror list", { shows: /vehicles/ }),
  row("mirror explain vehicles-1"),
  row("mirror diff"),
  row("mirror remove vehicles-*"),
  row("mirror reset", { code: 1, shows: /are readable/ }),
];

const policies: Story = [
  row("policy build policies/content_size.ts -o built.wasm"),
  row("policy check built.wasm", { shows: /accepted/ }),
  row("policy test built.wasm --event event.json", { shows: /allow/ }),
  row("reducer build policies/content_size.ts -o room.wasm", { code: 1, shows: /compile/ }),
  row("reducer test built.wasm --commands event.json", { code: 1, shows: /not-a-reducer/ }),
  row("reducer types event.json --out types.ts", { code: 1, shows: /is none of/ }),
  row("policy record --journal events.ndjson --out cases", { code: 1, shows: /no such decision/ }),
  row("policy replay built.wasm --journal events.ndjson", { code: 1, shows: /not a journal/ }),
  row("policy deploy built.wasm --name size --room chat-*"),
  row("policy list", { shows: /size/ }),
  row("policy logs -f", { steps: stopAfter("Following"), code: 130 }),
  row("policy logs"),
  row("policy remove size"),
  row("policy rollback"),
  row("policy reset", { code: 1, shows: /is readable/ }),
  row("policy quarantine", { shows: /quarantine|\[\]/i }),
  row(`policy release ${"0".repeat(64)}`, { code: 1 }),
];

const schemas = (way: Way): Story => [
  row("schema build schemas/order.proto -o built.binpb.gz"),
  row(`schema push built.binpb.gz --id shop-${way}`),
  row(`schema check built.binpb.gz --id shop-${way}`),
  row("schema list", { shows: new RegExp(`shop-${way}`) }),
  row(`schema history shop-${way}`),
  row(`schema get shop-${way} --proto`, { shows: /message Order/ }),
  row(`schema map orders-* shop-${way} --message shop.v1.Order`),
  row("schema mappings", { shows: /orders-/ }),
  row(`schema validate event.json --id shop-${way} --message shop.v1.Order --unknown refuse`, {
    code: 1,
  }),
  row("schema unmap orders-*"),
  row(`schema rollback shop-${way}`, { code: 1, shows: /version/ }),
  row(`schema delete shop-${way}`),
];

const servers: Story = [
  row("serve --config served.toml --json", { steps: stopAfter('"ops_url"') }),
  row(`dev --embedded ${PORTS} --json`, { steps: stopAfter('"ops_url"') }),
  row(`dev up --embedded ${PORTS}`, { shows: /ws:/ }),
  row("dev status", { shows: /embedded bus runs on/ }),
  row("dev logs"),
  row("dev down"),
  row("dev status", { code: 1 }),
  row("dev reset --yes"),
];

const proofs = (way: Way): Story => [
  row("pub kept-proof 1"),
  row(`proof checkpoint ${way}.kept-proof`, { shows: /kept-proof\r?\n1\r?\n/ }),
  row(`proof key ${way}.kept-proof`, { shows: /\+/ }),
  row(`proof inclusion ${way}.kept-proof 999999`, { code: 1 }),
  row(`proof consistency ${way}.kept-proof none.checkpoint`, { code: 1 }),
  row(`proof save ${way}.kept-proof kept-log`),
  row("proof verify ./kept-log", { shows: /1 entry/ }),
  row("proof witness --name w --key-file none.pem --state w.json --vkey none", {
    code: 1,
    shows: /openssl genpkey/,
  }),
  row(`proof rotate ${way}`),
  row("proof decide none.ndjson", { code: 1 }),
  row("usage invoice ./kept-log", { code: 1 }),
];

/** The longest first. They are independent of each other. */
export const stories = (way: Way): Story[] => [
  policies,
  servers,
  messages,
  rooms,
  setup(way),
  schemas(way),
  proofs(way),
];
