/** Shared by the scenarios of the packages: a real bus, Chromium, and a project with the tarballs. */
import type { Browser } from "playwright-core";
import type { ChildScenario } from "../harness/child_scenarios.ts";
import type { TestBus } from "../harness/bus.ts";
import type { Project } from "./project.ts";

/** The time limit of one program, in ms. */
export const DEADLINE_MS = 60_000;

/** A bus, a browser, a project. */
export interface World {
  readonly bus: TestBus;
  readonly browser: Browser;
  readonly project: Project;
}

/** A capability of the packages. */
export type Scenario = ChildScenario<World>;
