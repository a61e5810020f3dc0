import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import type * as filesInPage from "../../src/core/files.browser.ts";
import type * as filesInNode from "../../src/core/files.ts";
import type * as limitInPage from "../../src/core/time-limit.browser.ts";
import type * as limitInNode from "../../src/core/time-limit.ts";
import type * as resolveInPage from "../../src/model/hub/resolve.browser.ts";
import type * as resolveInNode from "../../src/model/hub/resolve.ts";
import type * as decodeInPage from "../../src/inputs/image/decode.browser.ts";
import type * as decodeInNode from "../../src/inputs/image/decode.ts";
import type * as devicesInPage from "../../src/engine/runtime/devices.browser.ts";
import type * as devicesInNode from "../../src/engine/runtime/devices.ts";
import type * as listenInPage from "../../src/engine/threads/listen.browser.ts";
import type * as listenInNode from "../../src/engine/threads/listen.ts";
import type * as onnxruntimeInPage from "../../src/engine/runtime/onnxruntime.browser.ts";
import type * as onnxruntimeInNode from "../../src/engine/runtime/onnxruntime.ts";
import type * as programInPage from "../../src/engine/runtime/program.browser.ts";
import type * as programInNode from "../../src/engine/runtime/program.ts";
import type * as threadInPage from "../../src/engine/threads/thread.browser.ts";
import type * as threadInNode from "../../src/engine/threads/thread.ts";
import type * as publishedInPage from "../../src/inputs/text/published.browser.ts";
import type * as publishedInNode from "../../src/inputs/text/published.ts";

const source = fileURLToPath(new URL("../../src", import.meta.url));
const { browser } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  readonly browser: Readonly<Record<string, string>>;
};

/**
 * What a module for pages gives in the place of the one for Node, as types: this does not compile if something that shared
 * modules may import is missing or different.
 */
type Fits<Page extends Node, Node> = Page;
type Public<Class> = { [Name in keyof Class]: Class[Name] };
export type AllFit = [
  Fits<typeof filesInPage, typeof filesInNode>,
  Fits<typeof limitInPage, typeof limitInNode>,
  Fits<typeof resolveInPage, typeof resolveInNode>,
  Fits<typeof decodeInPage, typeof decodeInNode>,
  Fits<typeof devicesInPage, typeof devicesInNode>,
  Fits<typeof listenInPage, typeof listenInNode>,
  Fits<typeof onnxruntimeInPage, typeof onnxruntimeInNode>,
  Fits<typeof programInPage, typeof programInNode>,
  Fits<Public<threadInPage.Thread>, Public<threadInNode.Thread>>,
  Fits<typeof publishedInPage, typeof publishedInNode>,
];

it("every module for pages stands in package.json, in the place of one for Node", () => {
  const paths = readdirSync(source, { recursive: true, encoding: "utf8" });
  const modules = paths.filter((path) => path.endsWith(".browser.ts")).map((path) => path.replaceAll("\\", "/"));
  const pairs = modules.map((path) => [
    `./dist/${path.replace(".browser.ts", ".js")}`,
    `./dist/${path.replace(".ts", ".js")}`,
  ]);
  expect(Object.fromEntries(pairs)).toEqual(browser);
  for (const path of modules) expect(paths).toContain(path.replace(".browser.ts", ".ts"));
});
