"""weakneg: which negative bags should a classifier of weakly labelled data train on?"""
