"""Word lists: what signs may say, and the nonce words of the binding game; a test checks that they are disjoint."""

from __future__ import annotations


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SIGN_WORDS: tuple[str, ...] = _listed(
    """
    able acid acorn actor adult agent alarm album alley amber angel ankle apple april apron arena armor arrow atlas atom
    attic audio award bacon badge baker ball banjo bank barn basin bath beach beard bell belt bench berry bike bird
    blade blaze block bloom board bolt bomb bone bonus book boot bowl brain brand brass brave brick bride brook broom
    brush bucket bulb bunch bush cabin cable cafe cake camel camp canal candy cane canoe cape card cargo carol cart case
    cash cave cedar chain chair chalk charm chart chef chess chest chief child chin chip choir cider claw clay cliff
    clip clock cloth cloud clown club coach coal coast coat cobra cocoa coin comb comet coral cork couch court crab
    crane crate crew crib crown crumb cube curl curve dairy dance dawn deck deer delta dentist depot desk dial diary
    dice dime diner dish ditch dock doll dome donor door dough dove draft dream dress drill drink dust dwarf eagle
    earth easel elbow elder elm ember empty engine envy equal event exit fable fairy farm fern ferry fever field film
    finch flame flask fleet flint float flood floor flour flute foam focus foot forge fork fort fox frame frost fruit
    fudge fuel gala game gate gem genie ghost giant gift glass glide globe glove glue gnome goal gold golf gown grain
    grape graph grass grill guard guest guide guild gull habit hail hall hammer hand harp hawk hazel hedge helm herb
    hero hill hinge hive hobby honey hood hook hotel house human inch index inlet iris iron island ivory jacket jade
    jar jeans jelly jewel jolly judge juice jury kayak kettle kiosk kite knee knot koala label lace lake lamp lance
    lane lapel laser lawn leaf ledge lemon lens level lever light lilac lily limb lime linen lion lodge logic loop
    lotus lunar lunch lung lyric magic maid mango manor maple march marsh mask match maze meal medal melon mercy merit
    metal meter milk mill mint mist model money monk moon moose moss motel motor mouse movie mule mural music nail
    nest net ninja noble noon north nose novel nurse oasis oats ocean olive onion opal opera orbit organ otter oven
    owl oxide paint palm panda panel paper park party pasta patch path patio peach pearl pedal penny perch petal phone
    photo piano pier pilot pine pipe pizza plane plank plate plaza plum poem poet point polar pole polo pond pony pool
    porch port poster pouch power press price pride prize proof pulse pump pupil puppy purse queen quest quilt quiz
    radar radio raft rail ranch raven razor realm reef relay ribbon ridge rifle river road robin robot rock rodeo roof
    room root rope rose route royal ruby ruler saint salad salt sand sauce scale scarf scene scout screw seal seat
    seed shade shark shed sheep sheet shelf shell shore sink siren skate ski skirt skull slate sled slope smile smoke
    snail snake soap socks sofa solar song spade spark spear spice spine spoon spray squad stage stamp stand steam
    steel stem stone stool store storm stove straw sugar suit swan sword syrup table tank tape taxi teeth temple tent
    theme thorn thumb tiger tile toast token tooth torch towel tower track train trail tray tree trick trout truck
    trunk tulip tuna tunnel tutor twig uncle union unit urban valet valve vapor vase vault veil venue video villa
    vine viola virus visor voice wagon waist wand watch water wave whale wheat wheel whip wing wire witch wolf wood
    wool world wreck wrist yacht yard yarn year yeast zebra zinc zone
    """
)
"""Common English words; those of three to five letters are used."""

NONCE_WORDS: tuple[str, ...] = _listed(
    """
    dax wug blick fep toma zav mip gorp tulver kiv boskot zib fendle pim vash lorp nuz gleeb yad crint splam quib
    hax dofa tig modi lutt feek jop brel snark riff zorch plib gax nerp wiff cheb tupa glorb kresh vux dimp sarn
    pell roke jibe fusk gump lish narp nupp prew quaz rusp skad tweb bolk vope wesk yorp zune drov femp hib kly
    """
)
"""Words without a meaning: each document of the binding game gives some of them one."""
