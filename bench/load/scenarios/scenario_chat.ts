/**
 * The scenario `chat`: rooms of 2, 10 and 100 members side by side, in which everybody hears and speaks, with
 * bodies as large as real events.
 */
import { positive, text } from "../../measure/scenario.ts";
import type { OptionValues } from "../../measure/scenario.ts";
import { chatSizes } from "../plans/chat_sizes.ts";
import { runLoad } from "../crowd/driver.ts";
import type { LoadCase, LoadScenario } from "./load_scenario.ts";
import { measurementOf, WARM_HELP, WARM_OPTION } from "./load_scenario.ts";
import type { Group, LoadPlan } from "../plans/plan.ts";

const HELP =
  `chat: 50 rooms of 2, 20 of 10 and 2 of 100 members, who all speak in turn; bodies of the
sizes of real events (1 to 27 KB, ../shared/data/events where it is there). On average a message goes
to 44 members.

  --rate N          messages a second, all connections together (100)
  --seconds N       counted time of a round (5)
  --warmup N        seconds before that are not counted (2)
  --processes N     of the load (2)
`;

interface ChatCase extends LoadCase {
  readonly batch: boolean;
}

/** The kinds of rooms: how many rooms of how many members. */
const KINDS = [
  { prefix: "direct", rooms: 50, members: 2 },
  { prefix: "team", rooms: 20, members: 10 },
  { prefix: "channel", rooms: 2, members: 100 },
] as const;

/** The groups of members, each in one room. Pure. */
export function chatGroups(batch: boolean): Group[] {
  return KINDS.map(({ prefix, rooms, members }) => ({
    connections: rooms * members,
    tenants: 1,
    prefix,
    rooms,
    rooms_each: 1,
    subscribes: true,
    publishes: true,
    batch,
  }));
}

async function planOf(values: OptionValues, batch: boolean): Promise<LoadPlan> {
  const { sizes_bytes } = await chatSizes();
  return {
    groups: chatGroups(batch),
    processes: positive(values, "processes"),
    echo: false,
    pace: { kind: "rate", rate: positive(values, "rate"), burst: 1 },
    sizes_bytes,
    seconds: positive(values, "seconds"),
    warmup_seconds: positive(values, "warmup"),
  };
}

/** The scenario of `deno task bench chat`. */
export const CHAT: LoadScenario<ChatCase> = {
  name: "chat",
  help: HELP + WARM_HELP,
  options: {
    rate: text("100"),
    seconds: text("5"),
    warmup: text("2"),
    processes: text("2"),
    ...WARM_OPTION,
  },
  quick: { seconds: "3", warmup: "1" },
  fresh: false,
  columns: [
    { key: "delivered_per_s", title: "deliveries/s", digits: 0 },
    { key: "p50_ms", title: "p50 ms", digits: 2 },
    { key: "p99_ms", title: "p99 ms", digits: 2 },
    { key: "cpu_us", title: "CPU µs", digits: 1 },
    { key: "beside_cpu_us", title: "NATS µs", digits: 1 },
    { key: "per_cpu_s", title: "a CPU second", digits: 0 },
  ],
  headline: "per_cpu_s",
  cases: (values): ChatCase[] => {
    const name = `${positive(values, "rate")}/s`;
    return [
      { name, needs: ["rooms"], batch: false },
      { name: `${name}, BATCH`, needs: ["rooms", "batch"], beside: name, batch: true },
    ];
  },
  measure: async (running, { batch }, values) =>
    measurementOf(await runLoad(running, await planOf(values, batch))),
};
