// Where `.arqon` and the contexts are searched, on each system.
import assert from "node:assert/strict";
import { configFolder, isWithin, stateFolders } from "./folders.ts";

Deno.test("state folders go up from the working directory, on each system", () => {
  assert.deepEqual(stateFolders("/home/ann/bus/"), [
    "/home/ann/bus/.arqon",
    "/home/ann/.arqon",
    "/home/.arqon",
  ]);
  assert.deepEqual(stateFolders("C:\\work\\bus"), [
    "C:\\work\\bus/.arqon",
    "C:\\work/.arqon",
    "C:/.arqon",
  ]);
  assert.deepEqual(stateFolders("/"), []);
});

Deno.test("contexts are in the person's configuration folder; a relative one is ignored", () => {
  const of = (os: string, variables: Parameters<typeof configFolder>[1]) =>
    configFolder(os, variables);
  assert.equal(of("linux", { XDG_CONFIG_HOME: "/x/", HOME: "/home/ann" }), "/x/arqon");
  assert.equal(of("linux", { XDG_CONFIG_HOME: "x", HOME: "/home/ann" }), "/home/ann/.config/arqon");
  assert.equal(of("darwin", { HOME: "/Users/ann" }), "/Users/ann/.config/arqon");
  assert.equal(of("windows", { APPDATA: "C:\\A", HOME: "/home" }), "C:\\A\\arqon");
  assert.equal(of("windows", { HOME: "/home" }), undefined);
  assert.equal(of("linux", {}), undefined);
});

Deno.test("a folder contains itself and its subfolders, not its siblings", () => {
  assert.ok(isWithin("/a/b", "/a/b"));
  assert.ok(isWithin("/a/b/c", "/a/b/"));
  assert.ok(isWithin("C:\\a\\b", "C:/a"));
  assert.ok(!isWithin("/a/bc", "/a/b"));
  assert.ok(!isWithin("/a", "/a/b"));
});
