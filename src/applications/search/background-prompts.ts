/**
 * What pictures usually show: prompts that an image is compared with, so that a query's score tells how much better the query fits
 * than anything else.
 */
export const backgroundPrompts: readonly string[] = [
  ...["a photo", "a picture", "something", "a thing", "a drawing", "a painting", "a screenshot", "a document", "a text"],
  ...["a sign", "a logo", "a map", "a chart", "a diagram", "a receipt", "a menu", "a poster", "a meme", "a cartoon"],
  ...["a person", "a man", "a woman", "a child", "a baby", "a face", "a selfie", "a group of people", "a crowd"],
  ...["a family", "a couple", "a portrait", "a hand", "feet", "a bride", "a dancer", "a musician", "an athlete"],
  ...["an animal", "a dog", "a cat", "a bird", "a horse", "a cow", "a sheep", "a fish", "an insect", "a butterfly"],
  ...["a bear", "an elephant", "a lion", "a monkey", "a rabbit", "a snake", "a spider", "a frog", "a duck", "an owl"],
  ...["a tree", "a flower", "a leaf", "grass", "a garden", "a forest", "a mushroom", "a cactus", "a plant"],
  ...["a mountain", "a hill", "a valley", "a desert", "a beach", "the sea", "a lake", "a river", "a waterfall", "an island"],
  ...["the sky", "clouds", "a sunset", "the moon", "stars", "rain", "snow", "fog", "a rainbow", "lightning", "fire", "ice"],
  ...["a city", "a street", "a building", "a house", "a church", "a castle", "a bridge", "a tower", "a statue", "ruins"],
  ...["a room", "a kitchen", "a bathroom", "a bedroom", "an office", "a shop", "a restaurant", "a museum", "a stage"],
  ...["a car", "a truck", "a bus", "a train", "a bicycle", "a motorcycle", "a boat", "a ship", "an airplane", "a rocket"],
  ...["a road", "a railway", "an airport", "a harbour", "a parking lot", "a playground", "a stadium", "a swimming pool"],
  ...["food", "a meal", "fruit", "an apple", "a banana", "vegetables", "bread", "a cake", "pizza", "meat", "soup", "ice cream"],
  ...["a drink", "coffee", "wine", "a bottle", "a cup", "a plate", "a spoon", "a knife", "a pot", "an oven"],
  ...["a table", "a chair", "a bed", "a sofa", "a lamp", "a door", "a window", "a mirror", "a clock", "a shelf", "stairs"],
  ...["a computer", "a phone", "a screen", "a keyboard", "a camera", "a television", "a robot", "a machine", "a tool"],
  ...["a hammer", "scissors", "a key", "a lock", "a book", "a newspaper", "a pen", "paper", "a box", "a bag", "a toy"],
  ...["a ball", "a game", "a guitar", "a piano", "a drum", "a hat", "a shirt", "a dress", "shoes", "glasses", "a watch"],
  ...["jewellery", "a flag", "a balloon", "a gift", "a candle", "an umbrella", "money", "a medal", "a crown", "a heart"],
  ...["a pattern", "a texture", "a wall", "a floor", "wood", "stone", "metal", "glass", "water", "a shadow", "darkness"],
];
