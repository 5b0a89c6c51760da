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

/** Every page but the home page, `docs/index.md`. */
export const SECTIONS: readonly SiteSection[] = [
  {
    text: "Start",
    pages: [
      { text: "Quick start", file: "docs/quick_start.md" },
      { text: "Concepts", file: "docs/concepts.md" },
      { text: "Glossary", file: "docs/glossary.md" },
      { text: "Questions", file: "docs/faq.md" },
      { text: "Compared with others", file: "docs/compare.md" },
    ],
  },
  {
    text: "Tutorials",
    pages: [
      { text: "Build a chat in React", file: "docs/tutorial_react.md" },
      { text: "First steps in Python", file: "docs/tutorial_python.md" },
      { text: "Your first room program", file: "docs/tutorial_rooms.md" },
      { text: "A policy of your own", file: "docs/tutorial_policies.md" },
      { text: "Schemas for events", file: "docs/tutorial_schemas.md" },
      { text: "Presence and rooms", file: "docs/presence.md" },
      { text: "Durable rooms", file: "docs/durable.md" },
      { text: "Rooms as programs", file: "docs/rooms-as-programs.md" },
      { text: "Schemas of rooms", file: "docs/room-schema.md" },
      { text: "Values of rooms as programs", file: "docs/room-values.md" },
      { text: "The past of rooms as programs", file: "docs/room-past.md" },
      { text: "Deploying reducers", file: "docs/reducer-deploy.md" },
      { text: "Durable Streams over HTTP", file: "docs/streams.md" },
      { text: "Messages that grow", file: "docs/growing.md" },
      { text: "Cookbook", file: "docs/cookbook.md" },
    ],
  },
  {
    text: "Moving here",
    pages: [
      { text: "From Socket.IO", file: "docs/moving_socketio.md" },
      { text: "From Pusher", file: "docs/moving_pusher.md" },
      { text: "From Ably", file: "docs/moving_ably.md" },
      { text: "From Supabase Realtime", file: "docs/moving_supabase.md" },
      { text: "From Centrifugo", file: "docs/moving_centrifugo.md" },
    ],
  },
  {
    text: "SDKs",
    pages: [
      { text: "Both side by side", file: "docs/sdks.md" },
      { text: "TypeScript", file: "sdk/typescript/README.md", place: "sdk_typescript" },
      { text: "React", file: "sdk/react/README.md", place: "sdk_react" },
      { text: "Vue", file: "docs/vue.md" },
      { text: "Svelte", file: "docs/svelte.md" },
      { text: "Python", file: "sdk/python/README.md", place: "sdk_python" },
      { text: "Yjs", file: "sdk/yjs/README.md", place: "sdk_yjs" },
      { text: "Packages and systems", file: "docs/packages.md" },
      { text: "Example: chat", file: "examples/chat/README.md", place: "example_chat" },
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
    text: "Run it",
    pages: [
      { text: "Install", file: "docs/install.md" },
      { text: "Deploy", file: "docs/deploy.md" },
      { text: "Operations", file: "docs/operations.md" },
      { text: "Run in one process", file: "docs/run_local.md" },
      { text: "Run on NATS", file: "docs/run_nats.md" },
      { text: "Scale out", file: "docs/scale.md" },
      { text: "Storage and full disks", file: "docs/storage.md" },
      { text: "Backup and restore", file: "docs/backup.md" },
      { text: "Monitor", file: "docs/monitoring.md" },
      { text: "Stop, restart, outages", file: "docs/outages.md" },
      { text: "Limits", file: "docs/limits.md" },
      { text: "Runbooks", file: "docs/runbooks.md" },
      { text: "Security", file: "docs/security.md" },
      { text: "Threat model", file: "docs/threats.md" },
      { text: "Floods and hostile clients", file: "docs/floods.md" },
      { text: "Reliability", file: "docs/reliability.md" },
      { text: "WebSocket, case by case", file: "docs/websocket.md" },
      { text: "Performance", file: "docs/performance.md" },
      { text: "Capacity and sizing", file: "docs/sizing.md" },
      { text: "Web console", file: "docs/console.md" },
      { text: "Metrics", file: "docs/metrics.md" },
      { text: "Traces", file: "docs/tracing.md" },
      { text: "Why not delivered", file: "docs/why.md" },
      { text: "What each tenant uses", file: "docs/usage.md" },
      { text: "Commit is publish", file: "docs/bridge.md" },
      { text: "Schedules", file: "docs/schedules.md" },
      { text: "Pusher clients and backends", file: "docs/pusher.md" },
      { text: "In and out by NATS", file: "docs/nats.md" },
      { text: "Filters", file: "docs/filters.md" },
      { text: "Deltas", file: "docs/deltas.md" },
    ],
  },
  {
    text: "Reference",
    pages: [
      { text: "Protocol", file: "docs/protocol.md" },
      { text: "Presence and state on the wire", file: "docs/protocol-rooms.md" },
      { text: "Commands over HTTP", file: "docs/http-api.md" },
      { text: "Server-sent events", file: "docs/sse.md" },
      { text: "Errors and close codes", file: "docs/errors.md" },
      { text: "Configuration", file: "docs/configuration.md" },
      { text: "The command line", file: "docs/arq.md" },
      { text: "Policies", file: "docs/policies.md" },
      { text: "Journal", file: "docs/journal.md" },
      { text: "Hooks", file: "docs/hooks.md" },
      { text: "Replay", file: "docs/replay.md" },
      { text: "Plan and apply", file: "docs/plan.md" },
      { text: "Rollouts", file: "docs/rollout.md" },
      { text: "ABI of policies", file: "policies/ABI.md", place: "policy_abi" },
      { text: "Admin API of policies", file: "docs/policy-api.md" },
      { text: "Admin API", file: "docs/admin-api.md" },
      { text: "Governance", file: "docs/governance.md" },
      { text: "Schema compatibility", file: "docs/compatibility.md" },
    ],
  },
  {
    text: "How it is built",
    pages: [
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
