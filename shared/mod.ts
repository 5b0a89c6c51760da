/** What the servers share: configuration, logging, metrics, ids, problems, subjects. */
export { ConfigError, configFrom, parseConfig } from "./config/load.ts";
export type { ConfigDefaults, ParseOptions } from "./config/load.ts";
export * from "./config/schema.ts";
export * from "./ids.ts";
export * from "./logs/log.ts";
export * from "./metrics/metrics.ts";
export * from "./listeners/ops.ts";
export * from "./problem.ts";
export * from "./subjects/subject.ts";
