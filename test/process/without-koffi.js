// Preloaded on every thread: the optional package is not installed.
import Module from "node:module";

const resolve = Module._resolveFilename;
Module._resolveFilename = function (request, ...rest) {
  if (request === "koffi") throw Object.assign(new Error("Cannot find module 'koffi'"), { code: "MODULE_NOT_FOUND" });
  return resolve.call(this, request, ...rest);
};
