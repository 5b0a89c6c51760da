/**
 * The pages of the site and their order: the sidebar, the map from a file of the checkout to its
 * place, and what the gate counts. Data only; `tasks/site/site.ts` and `config.ts` read it.
 */

/** A page: its file in the checkout and what the sidebar calls it. */
export interface SitePage {
  readonly text: string;
  /** Path below the root of the checkout. */
  readonly file: string;
  /** Place in the site, without extension; absent: the file's name, for files of `docs/`. */
  readonly place?: string;
}

/** One group of the sidebar. */
export interface SiteSection {
  readonly text: string;
  readonly pages: readonly SitePage[];
}

/** Every page but the home page, `docs/index.md`, in the order in which a newcomer reads. */
export const SECTIONS: readonly SiteSection[] = [
  {
    text: "Start",
    pages: [
      { text: "Quick start", file: "docs/quick_start.md" },
      { text: "Concepts", file: "docs/concepts.md" },
      { text: "Glossary", file: "docs/glossary.md" },
      { text: "Questions", file: "docs/faq.md" },
      { text: "Compared with others", file: "docs/compare.md" },
      { text: "Move from Socket.IO", file: "docs/moving_socketio.md" },
      { text: "Move from Pusher", file: "docs/moving_pusher.md" },
      { text: "Move from Ably", file: "docs/moving_ably.md" },
      { text: "Move from Supabase Realtime", file: "docs/moving_supabase.md" },
      { text: "Move from Centrifugo", file: "docs/moving_centrifugo.md" },
    ],
  },
  {
    text: "Build",
    pages: [
      { text: "Build a chat in React", file: "docs/tutorial_react.md" },
      { text: "First steps in Python", file: "docs/tutorial_python.md" },
      { text: "Your first room program", file: "docs/tutorial_rooms.md" },
      { text: "Cookbook", file: "docs/cookbook.md" },
      { text: "Presence, state, locks", file: "docs/presence.md" },
      { text: "Durable rooms", file: "docs/durable.md" },
      { text: "Messages that grow", file: "docs/growing.md" },
      { text: "Filters", file: "docs/filters.md" },
      { text: "Deltas", file: "docs/deltas.md" },
      { text: "Rooms as programs", file: "docs/rooms-as-programs.md" },
      { text: "Schemas of rooms", file: "docs/room-schema.md" },
      { text: "Values of rooms as programs", file: "docs/room-values.md" },
      { text: "The past of rooms as programs", file: "docs/room-past.md" },
    ],
  },
  {
    text: "SDKs and examples",
    pages: [
      { text: "Both SDKs side by side", file: "docs/sdks.md" },
      { text: "TypeScript", file: "sdk/typescript/README.md", place: "sdk_typescript" },
      { text: "React", file: "sdk/react/README.md", place: "sdk_react" },
      { text: "Vue", file: "docs/vue.md" },
      { text: "Svelte", file: "docs/svelte.md" },
      { text: "Python", file: "sdk/python/README.md", place: "sdk_python" },
      { text: "Yjs", file: "sdk/yjs/README.md", place: "sdk_yjs" },
      { text: "Packages and runtimes", file: "docs/packages.md" },
      {
        text: "Example: chat in the terminal",
        file: "examples/chat/README.md",
        place: "example_chat",
      },
      { text: "Example: live map", file: "examples/map/README.md", place: "example_map" },
      { text: "Example: a browser", file: "examples/browser/README.md", place: "example_browser" },
      {
        text: "Example: a whiteboard",
        file: "examples/whiteboard/README.md",
        place: "example_whiteboard",
      },
      {
        text: "Example: a chat with a model",
        file: "examples/ai_chat/README.md",
        place: "example_ai_chat",
      },
      { text: "Example: an editor", file: "examples/editor/README.md", place: "example_editor" },
    ],
  },
  {
    text: "Connect a backend",
    pages: [
      { text: "HTTP API", file: "docs/http-api.md" },
      { text: "Server-sent events", file: "docs/sse.md" },
      { text: "Durable Streams over HTTP", file: "docs/streams.md" },
      { text: "Webhooks", file: "docs/hooks.md" },
      { text: "PostgreSQL: commit is publish", file: "docs/bridge.md" },
      { text: "NATS subjects", file: "docs/nats.md" },
      { text: "Schedules", file: "docs/schedules.md" },
      { text: "Pusher clients and backends", file: "docs/pusher.md" },
      { text: "Centrifugo's client libraries", file: "docs/centrifugo.md" },
    ],
  },
  {
    text: "Protect",
    pages: [
      { text: "Security", file: "docs/security.md" },
      { text: "Write a policy of your own", file: "docs/tutorial_policies.md" },
      { text: "Policies", file: "docs/policies.md" },
      { text: "Validate events with a schema", file: "docs/tutorial_schemas.md" },
      { text: "Governance", file: "docs/governance.md" },
      { text: "Schema compatibility", file: "docs/compatibility.md" },
      { text: "Transparency logs", file: "docs/proof.md" },
      { text: "Threat model", file: "docs/threats.md" },
      { text: "Floods and hostile clients", file: "docs/floods.md" },
      { text: "Usage and budgets", file: "docs/usage.md" },
    ],
  },
  {
    text: "Run it for real",
    pages: [
      { text: "Install", file: "docs/install.md" },
      { text: "Deploy", file: "docs/deploy.md" },
      { text: "Operations", file: "docs/operations.md" },
      { text: "Run in one process", file: "docs/run_local.md" },
      { text: "Run on NATS", file: "docs/run_nats.md" },
      { text: "Scale out", file: "docs/scale.md" },
      { text: "Capacity and sizing", file: "docs/sizing.md" },
      { text: "Limits", file: "docs/limits.md" },
      { text: "Storage and full disks", file: "docs/storage.md" },
      { text: "Upgrade and roll back", file: "docs/upgrade.md" },
      { text: "Backup and restore", file: "docs/backup.md" },
      { text: "Export and erase data", file: "docs/data.md" },
      { text: "Monitor", file: "docs/monitoring.md" },
      { text: "Web console", file: "docs/console.md" },
      { text: "Performance", file: "docs/performance.md" },
      { text: "Reliability", file: "docs/reliability.md" },
    ],
  },
  {
    text: "Change without fear",
    pages: [
      { text: "Journal", file: "docs/journal.md" },
      { text: "Replay", file: "docs/replay.md" },
      { text: "Plan and apply", file: "docs/plan.md" },
      { text: "Rollouts", file: "docs/rollout.md" },
      { text: "Deploying reducers", file: "docs/reducer-deploy.md" },
    ],
  },
  {
    text: "When something is wrong",
    pages: [
      { text: "Why not delivered", file: "docs/why.md" },
      { text: "Traces", file: "docs/tracing.md" },
      { text: "Runbooks", file: "docs/runbooks.md" },
      { text: "Stop, restart, outages", file: "docs/outages.md" },
    ],
  },
  {
    text: "Reference",
    pages: [
      { text: "Errors and close codes", file: "docs/errors.md" },
      { text: "Protocol", file: "docs/protocol.md" },
      { text: "Presence and state on the wire", file: "docs/protocol-rooms.md" },
      { text: "Configuration", file: "docs/configuration.md" },
      { text: "The command line", file: "docs/arq.md" },
      { text: "Metrics", file: "docs/metrics.md" },
      { text: "Admin API", file: "docs/admin-api.md" },
      { text: "Admin API of policies", file: "docs/policy-api.md" },
      { text: "ABI of policies", file: "policies/ABI.md", place: "policy_abi" },
      { text: "WebSocket, case by case", file: "docs/websocket.md" },
      { text: "The core in 30 minutes", file: "docs/core.md" },
      { text: "Architecture", file: "docs/architecture.md" },
      { text: "As built", file: "docs/epoch1_overview.md" },
      { text: "Contributing", file: "CONTRIBUTING.md", place: "contributing" },
      { text: "How to add …", file: "docs/extending.md" },
      { text: "Style", file: "docs/style.md" },
      { text: "Changes", file: "CHANGELOG.md", place: "changes" },
    ],
  },
];

/** The home page. */
export const HOME: SitePage = { text: "ArqonBus", file: "docs/index.md" };

/** Where a page lies in the site, without extension: `quick_start`, `sdk_python`. */
export function placeOf({ file, place }: SitePage): string {
  return place ?? file.replace(/^docs\//, "").replace(/\.md$/, "");
}
