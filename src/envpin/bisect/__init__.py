"""Find the release that broke or fixed something, or the packages of a changed environment that did.

Pure, property-tested: values in, values out.
    search      observations in, the next run or the conclusion out; with `belief` (a posterior over breakpoints) and
                `selection` (information against cost)
    changed     which of many moves break an environment: a minimal set, closed under what packages declare
    axis        the releases between two ends
    prior       what wheels tell before anything is installed
    outcome     what a probe showed, and the verdict about it
    evidence    a finished search for the matrix

With the world: index, store, worker, disk.
    question    what is asked; its digest names the search
    history     the log and the verdict cache; `records` types the log's lines
    holding     one environment per release, everything else held; `mixing`: environments between two ends
    prober      runs one probe in one environment
    session     a search over the releases of one package; `environments`: one over the moves of an environment
    prefetch    work beside a running probe
    start       puts a search together; `report`: a finished one as data, with the files that differ at its edge
"""
