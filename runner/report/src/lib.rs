//! What bots measure: histograms, counters, their exact merge, thresholds and the result. Pure.
