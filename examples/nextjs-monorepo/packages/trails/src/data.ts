import type { RegionId } from './regions.js'
import type { Trail, Waypoint } from './trail.js'

/** Waypoints are `[name, kilometre, height]`. The places are invented. */
function trail(
  slug: string,
  name: string,
  region: RegionId,
  summary: string,
  waypoints: readonly (readonly [name: string, kilometre: number, height: number])[],
): Trail {
  return {
    slug,
    name,
    region,
    summary,
    waypoints: waypoints.map(([name, kilometre, height]): Waypoint => ({ name, kilometre, height })),
  }
}

export const trails: readonly Trail[] = [
  trail('lantern-head', 'Lantern Head', 'coast', 'Out along the cliff to the old light, and back by the creek.', [
    ['Cobble harbour', 0, 3], ['Gull steps', 1.2, 48], ['Lantern Head', 4.6, 71],
    ['Creek ford', 7.1, 2], ['Salt pans', 9.4, 4], ['Cobble harbour', 11.8, 3],
  ]),
  trail('long-spit', 'The Long Spit', 'coast', 'Sand all the way; the far end is cut off at spring tides.', [
    ['Dune car park', 0, 9], ['Marram gap', 2.3, 14], ['Wreck', 5.9, 2], ['Spit end', 8.7, 1],
  ]),
  trail('tidemill-round', 'Tidemill Round', 'coast', 'Three tide mills, one of them still grinding.', [
    ['Upper mill', 0, 12], ['Middle mill', 2.8, 6], ['Ferry stage', 4.4, 2], ['Chapel rise', 6.3, 39], ['Upper mill', 8.1, 12],
  ]),
  trail('peat-road', 'The Peat Road', 'moor', 'The cart track from the cuttings to the kilns.', [
    ['Kilns', 0, 214], ['Toll stone', 3.1, 296], ['High cutting', 7.8, 388], ['Drowned cutting', 10.2, 361], ['Shooting hut', 14.6, 402],
  ]),
  trail('nine-cairns', 'Nine Cairns', 'moor', 'From cairn to cairn along the watershed. Not in fog.', [
    ['Sheepwash bridge', 0, 251], ['First cairn', 2.2, 377], ['Fourth cairn', 6.5, 431], ['Bog crossing', 8.9, 396],
    ['Ninth cairn', 13.7, 468], ['Sheepwash bridge', 18.3, 251],
  ]),
  trail('bracken-beck', 'Bracken Beck', 'moor', 'Up one side of the stream and down the other.', [
    ['Beck foot', 0, 187], ['Stepping stones', 1.9, 223], ['Beck head', 5.2, 409], ['Ruined fold', 7.4, 330], ['Beck foot', 10.1, 187],
  ]),
  trail('charcoal-path', 'Charcoal Path', 'forest', 'Past forty hearths of the charcoal burners.', [
    ['Sawmill', 0, 320], ['First hearth', 1.1, 402], ['Saddle', 3.4, 588], ['Twin oaks', 5.8, 431], ['Upper hearths', 8.3, 612], ['Sawmill', 12.5, 320],
  ]),
  trail('owl-valleys', 'Owl Valleys', 'forest', 'Four valleys, four climbs, no view until the last.', [
    ['Footbridge', 0, 288], ['First ridge', 2, 501], ['Otter pool', 3.7, 310], ['Second ridge', 5.5, 545],
    ['Fern hollow', 7.2, 342], ['Third ridge', 9.4, 570], ['Forester lodge', 12, 295],
  ]),
  trail('slow-water', 'Slow Water', 'forest', 'Level beside the canal that floated the logs.', [
    ['Lock house', 0, 262], ['Log basin', 4.2, 262], ['Aqueduct', 8.8, 264], ['Head weir', 13.9, 267],
  ]),
  trail('knife-traverse', 'The Knife Traverse', 'range', 'The ridge from pass to pass. Hands are needed twice.', [
    ['East pass', 0, 1874], ['Little Knife', 1.8, 2291], ['The notch', 2.6, 2168], ['Great Knife', 4.3, 2547],
    ['Slab descent', 5.7, 2210], ['West pass', 8.2, 1936],
  ]),
  trail('hut-to-hut', 'Hut to Hut', 'range', 'Below the ridge from the first hut to the third, in a long day.', [
    ['Tarn hut', 0, 1712], ['Scree gate', 3.9, 2015], ['Middle hut', 8.4, 1804], ['Marmot meadow', 12.7, 1933],
    ['Chain steps', 15.1, 2244], ['Cloud hut', 19.6, 2098],
  ]),
  trail('quarry-incline', 'Quarry Incline', 'range', 'Straight up the rails that let the slate down.', [
    ['Drum house', 0, 744], ['Winding drum', 1.4, 1106], ['Top level', 2.5, 1391], ['Splitting sheds', 3.2, 1402], ['Drum house', 7.9, 744],
  ]),
]
