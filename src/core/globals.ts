/// <reference lib="esnext.disposable" preserve="true" />

/*
 * This package's declarations use classes from the DOM's or Node's types. Programs without those types get empty
 * declarations here; otherwise these add nothing. Every entry point imports this file.
 */
/* eslint-disable @typescript-eslint/no-empty-object-type */
declare global {
  interface AbortSignal {}
  interface Blob {}
  interface URL {}
}

export {};
