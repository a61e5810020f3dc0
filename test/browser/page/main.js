// What a test does in the page, it does through this.
import * as clip from "clip-ts";

globalThis.clip = clip;
